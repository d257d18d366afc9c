"""Particles that the pipeline finds in an acquisition, compared with the truth in the registered frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _independent_particles import is_cut
from _particle_scores import ParticleScore, score_particles
from _pipeline_runs import PARTICLE_STAGES, run_stages, write_slices
from _scene_images import SceneImage
from numpy.typing import NDArray

from spherovem_core.parameters import PipelineParameters
from spherovem_core.stages import StageName
from spherovem_core.steps.nanoparticles import PARTICLES
from spherovem_core.store import Layout, open_array, read_table
from spherovem_core.store.layout import NANOPARTICLES, REGISTERED
from spherovem_core.synthetic.comparison import LabelImage
from spherovem_core.synthetic.comparison.frames import maps_to_ideal, sample_truth, to_square
from spherovem_core.synthetic.misplacement import measure_misplacement


@dataclass(frozen=True, eq=False)
class SceneRun:
    """Results of a run: score of its particles, misplacement from slice to slice, and the folder while it lasts."""

    score: ParticleScore
    step_px: float
    layout: Layout


def run_scene(
    scene: SceneImage,
    parameters: PipelineParameters,
    folder: Path,
    stages: Sequence[StageName] = PARTICLE_STAGES,
    workers: int = 1,
) -> SceneRun:
    """Write an image as an acquisition into a folder, run stages on it and score its particles."""
    own = parameters.nanoparticles.model_copy(update=dict(scene.nanoparticles))
    parameters = parameters.model_copy(update={"nanoparticles": own})
    source = write_slices(scene.image, scene.spacing_nm, folder / "acquisition")
    layout, _ = run_stages(source, folder / "results", parameters, stages, workers)
    estimated = np.array(open_array(layout, REGISTERED).details["transforms"], dtype=np.float64)
    step = measure_misplacement(estimated, scene.transforms, scene.image.shape[1:]).step_px
    return SceneRun(score_run(scene, layout), step, layout)


def score_run(scene: SceneImage, layout: Layout) -> ParticleScore:
    """Score the particles of a results folder, in the frame of the registered image."""
    labels: Any = open_array(layout, NANOPARTICLES)
    grid = LabelImage(labels[:], labels.spacing_nm, labels.origin_nm)
    maps = registered_to_ideal(open_array(layout, REGISTERED).details, scene.transforms)
    truth = sample_truth(scene.labels, maps, grid, scene.spacing_nm)
    particles = registered_particles(scene.particles, maps, grid.labels.shape, scene.spacing_nm)
    seen = np.isin(truth, particles["label"])
    # A particle whose centre is outside is not asked for, so what the frame shows of it is no false object either.
    ignored = np.setdiff1d(grid.labels[(truth > 0) & ~seen], grid.labels[seen])
    kept = np.where(np.isin(grid.labels, ignored), 0, grid.labels).astype(np.uint32)
    table = read_table(layout, PARTICLES.path)
    return score_particles(kept, table, particles, np.where(seen, truth, 0), scene.spacing_nm)


def registered_to_ideal(details: Any, true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map registered pixel coordinates (y, x, 1) to ideal ones, per slice (Z, 2, 3)."""
    estimated = np.array(details["transforms"], dtype=np.float64)
    return maps_to_ideal(estimated, details["crop"][:2], true)


def registered_particles(
    particles: pd.DataFrame,
    maps: NDArray[np.float64],
    shape: tuple[int, ...],
    spacing_nm: tuple[float, float, float],
) -> pd.DataFrame:
    """Move true particles into the registered frame, and drop those whose centres are outside."""
    if particles.empty:
        return particles
    slices = np.clip(np.rint(particles["z_nm"] / spacing_nm[0]).astype(int), 0, len(maps) - 1)
    inverse = np.linalg.inv(to_square(maps))[slices]
    ideal = np.stack(
        [particles["y_nm"] / spacing_nm[1], particles["x_nm"] / spacing_nm[2], np.ones(len(particles))], 1
    )
    y, x = np.einsum("nij,nj->in", inverse, ideal)[:2]
    moved = particles.assign(y_nm=y * spacing_nm[1], x_nm=x * spacing_nm[2])
    z = moved["z_nm"] / spacing_nm[0]
    inside = [(v > -0.5) & (v < n - 0.5) for v, n in zip((z, y, x), shape, strict=True)]
    moved = moved[np.logical_and.reduce(inside)]
    return moved.assign(cut=is_cut(moved, shape, spacing_nm))

"""Validation pages of scenes: one line per scene with the worst seed of each figure, and what is beyond its limit."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from _cell_pages import cells_page
from _denoised_scores import DenoisedScore, score_denoised
from _independent_cases import UnkindCase, cases
from _page_tables import (
    beyond_denoised,
    denoised_table,
    group_table,
    missed_names,
    misses,
    reliability_lines,
    scene_table,
    too_far,
)
from _particle_scores import ParticleScore, score_failure
from _pipeline_runs import run_stages, write_slices
from _scene_cases import denoising_cases, independent_cases, phantom_cases
from _scene_effort import Effort, ScenePage, gathered, pool
from _scene_images import SceneCase
from _scene_runs import run_scene
from _unkind import Worst, beyond, score_case, worst

from spherovem_core.errors import SpheroVemError
from spherovem_core.parameters import PipelineParameters

UNKIND = (
    "Images of a generator that shares no code with the phantom (`benchmarks/_independent_images.py`): own texture, "
    "membranes and nuclei, particles that fill voxels partly, 24 slices of 256². The nanoparticles method alone, with "
    "default parameters but for the polarity. "
)
SCENES = (
    "Ingest, denoising, registration and nanoparticles, one after the other on slices on disk. Parameters are the defaults, "
    "but for the polarity and the denoising network, which is the demo's. The first {phantoms} lines are scenes of the "
    "phantom, 24 slices of 256² with jitter and drift; the others are images of the independent generator. "
)
NOISE = (
    "Images of the independent generator after ingest and denoising with default parameters but for the network, which is "
    "the demo's. The best filter is the best of Gaussian, non-local means and total variation with their strengths tuned on "
    "the truth. The kept contrast is that of particles of two pixels across and more, of the worst of their sizes (120, "
    "160, 240 nm). "
)


def unkind_page(effort: Effort) -> ScenePage:
    """Score the nanoparticles method alone on all images of the independent generator, and show the worst of each group."""
    results: list[tuple[UnkindCase, Worst]] = []
    scores: list[ParticleScore] = []
    with pool(effort) as executor:
        todo = [
            (case, [executor.submit(score_case, case, seed) for seed in effort.seeds]) for case in cases()
        ]
        for case, futures in todo:
            mine = gathered(case.name, futures)
            scores += mine
            results.append((case, worst(mine)))
    lines = [
        UNKIND + effort.says(),
        "",
        *group_table(results),
        "",
        *misses([(case.name, result, beyond(case, result)) for case, result in results]),
        "",
        *reliability_lines(scores),
        "",
        "`python benchmarks/validation.py --only unkind`, case by case `python benchmarks/nanoparticles.py --parts unkind`",
    ]
    return ScenePage("\n".join(lines) + "\n", missed_names(results) + too_far(scores))


def scenes_page(effort: Effort, scenes: Iterable[SceneCase] | None = None) -> ScenePage:
    """Run the pipeline on scenes of the phantom and images of the independent generator, and score its particles."""
    phantoms = [*phantom_cases()] if scenes is None else list(scenes)
    chosen = [*phantoms, *(independent_cases() if scenes is None else ())]
    results: list[tuple[SceneCase, Worst]] = []
    misplaced: list[float] = []
    scores: list[ParticleScore] = []
    with pool(effort) as executor:
        todo = [
            (
                scene,
                [executor.submit(make_and_score, scene, seed, effort.parameters) for seed in effort.seeds],
            )
            for scene in chosen
        ]
        for scene, futures in todo:
            mine, steps = zip(*gathered(scene.name, futures), strict=True)
            scores += mine
            results.append((scene, worst(mine)))
            misplaced.append(max(steps))
    lines = [
        SCENES.format(phantoms=len(phantoms)) + effort.says(),
        "",
        *scene_table(results, misplaced),
        "",
        *misses([(scene.name, result, beyond(scene, result)) for scene, result in results]),
        "",
        *reliability_lines(scores),
        "",
        "`python benchmarks/validation.py --only scenes`",
    ]
    return ScenePage("\n".join(lines) + "\n", missed_names(results) + too_far(scores))


def noise_page(effort: Effort) -> ScenePage:
    """Run the pipeline on images with known noise, and compare the denoised ones with tuned classical filters."""
    rows: list[tuple[str, list[DenoisedScore], bool]] = []
    with pool(effort) as executor:
        todo = [
            (
                scene,
                unit,
                [
                    executor.submit(denoise_and_score, scene, seed, effort.parameters, unit)
                    for seed in effort.seeds
                ],
            )
            for scene, unit in denoising_cases()
        ]
        for scene, unit, futures in todo:
            rows.append((scene.name, gathered(scene.name, futures), unit != 1.0))
    found = [(name, beyond_denoised(scores, wide)) for name, scores, wide in rows]
    missed = tuple(f"{name}: {', '.join(figures)}" for name, figures in found if figures)
    lines = [
        NOISE + effort.says(),
        "",
        *denoised_table(rows),
        "",
        *([f"Beyond their limits: {'; '.join(missed)}."] if missed else ["Everything is within its limit."]),
        "",
        "`python benchmarks/validation.py --only noise`",
    ]
    return ScenePage("\n".join(lines) + "\n", missed)


def make_and_score(
    scene: SceneCase, seed: int, parameters: PipelineParameters
) -> tuple[ParticleScore, float]:
    """Make an image, run the pipeline on it, score its particles and measure the misplacement from slice to slice."""
    image = scene.make(seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = run_scene(image, parameters, Path(folder))
        return run.score, run.step_px
    except SpheroVemError as error:
        return score_failure(image.particles, image.labels, image.spacing_nm, str(error)), float("nan")


def denoise_and_score(
    scene: SceneCase, seed: int, parameters: PipelineParameters, unit: float
) -> DenoisedScore:
    """Make an image, denoise it by the pipeline and score the result."""
    image = scene.make(seed)
    with tempfile.TemporaryDirectory() as folder:
        source = write_slices(image.image, image.spacing_nm, Path(folder) / "acquisition")
        layout, _ = run_stages(source, Path(folder) / "results", parameters, ("ingest", "denoising"))
        return score_denoised(image, layout, unit)


PAGES: dict[str, Callable[[Effort], ScenePage]] = {
    "unkind": unkind_page,
    "scenes": scenes_page,
    "noise": noise_page,
    "cells": cells_page,
}
"""Pages by the name of their file."""

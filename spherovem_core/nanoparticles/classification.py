"""Classification of the objects of a stack: clumps, particles and their populations, and other objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.acquisition_blur import AcquisitionBlur, measure_blur
from spherovem_core.nanoparticles.agglomerates import agglomerate_table, number_agglomerates
from spherovem_core.nanoparticles.ball_likeness import ball_likeness
from spherovem_core.nanoparticles.ball_response import BallResponse, ball_response
from spherovem_core.nanoparticles.clump_depth import with_depth_of_clumps
from spherovem_core.nanoparticles.clumps import SplitObjects, split_clumps
from spherovem_core.nanoparticles.detection_limit import detection_limit, selection_bias
from spherovem_core.nanoparticles.judgement import judge
from spherovem_core.nanoparticles.local_contrast import largest_diameter
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.objects import CropReader, FoundObject, object_table, thickness_nm
from spherovem_core.nanoparticles.painting import PaintedParticles, choose_voxels
from spherovem_core.nanoparticles.plausibility import COVERED, find_warnings
from spherovem_core.nanoparticles.populations import (
    Population,
    describe_populations,
    find_populations,
    nearest_population,
)
from spherovem_core.nanoparticles.single_size import SingleSize
from spherovem_core.nanoparticles.sizes import Sizes, measure_sizes
from spherovem_core.nanoparticles.table import other_table, particle_table
from spherovem_core.parameters import NanoparticleParameters

LEAST_VOXELS = 2
"""Volume in voxels from which an object can be told from noise."""


@dataclass(frozen=True, eq=False)
class Classified:
    """Objects of a stack, told apart.

    Attributes
    ----------
    particles, others, agglomerates
        Their tables.
    mixture
        Populations, limits and warnings.
    painted
        Voxels of the particles.
    """

    particles: pd.DataFrame
    others: pd.DataFrame
    agglomerates: pd.DataFrame
    mixture: Mixture
    painted: PaintedParticles


@dataclass(frozen=True, eq=False)
class _Judged:
    """Objects with sizes, populations (0 for other objects), confidence, the reason why they are no particles, and clumps."""

    table: pd.DataFrame
    sizes: Sizes
    population: NDArray[np.int64]
    confidence: NDArray[np.float64]
    reason: NDArray[np.object_]
    clump: NDArray[np.bool_]


def classify(
    objects: Sequence[FoundObject],
    reader: CropReader,
    parameters: NanoparticleParameters,
    execution: Execution,
) -> Classified:
    """Split clumps, judge the objects, sort the particles into populations, and choose their voxels.

    Parameters
    ----------
    objects
        Objects of the stack, in the order of their components.
    reader
        Reader of the image.
    parameters
        Parameters of the stage.
    execution
        Executor of the fits of clumps.
    """
    table = object_table(objects)
    blur = measure_blur(objects, table, reader, _smoothing(reader), largest_diameter(parameters), execution)
    blur = with_depth_of_clumps(blur, objects, table, reader, parameters, execution)
    response = ball_response(
        reader.spacing_nm,
        blur.depth_nm,
        round(blur.sigma_nm, 1),
        _smoothing(reader),
        largest_diameter(parameters),
        execution,
    )
    split = SplitObjects(list(objects), SingleSize(None, np.nan, 0.0, 0), parameters.expected_diameter_nm)
    if parameters.split_touching and objects:
        split = split_clumps(objects, table, reader, response, blur, parameters, execution)
    judged = _judge(split.objects, reader, response, blur, parameters)
    chosen = np.flatnonzero(judged.reason == "")
    counts = np.rint(judged.sizes.volume_nm3[chosen] / np.prod(reader.spacing_nm)).astype(np.int64)
    painted = choose_voxels(
        [split.objects[n] for n in chosen], counts, judged.confidence[chosen], reader.source.shape
    )
    return _tables(judged, chosen[painted.order], painted, split, reader, response, blur, parameters)


def _smoothing(reader: CropReader) -> tuple[float, float]:
    sigma, spacing = reader.detection.filters.sigma, reader.spacing_nm
    return sigma[0] * spacing[1], sigma[1] * spacing[2]


def _judge(
    objects: Sequence[FoundObject],
    reader: CropReader,
    response: BallResponse,
    blur: AcquisitionBlur,
    parameters: NanoparticleParameters,
) -> _Judged:
    table = object_table(objects)
    sizes = measure_sizes(table, response, reader.spacing_nm, reader.detection.smooth_noise)
    least = reader.min_contrast_of(table)

    def likeness(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        chosen = [objects[n] for n in numbers]
        return ball_likeness(chosen, sizes.diameter_nm[numbers], reader, blur)

    def thickness(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.array([thickness_nm(objects[n], reader.spacing_nm) for n in numbers], np.float64)

    judgement = judge(
        table,
        sizes.diameter_nm,
        least,
        response,
        blur,
        reader.spacing_nm,
        parameters,
        likeness,
        thickness,
        reader.slope_noise,
        1e-6 * parameters.false_candidates_per_million * float(np.prod(reader.source.shape)),
    )
    reason = judgement.reason.copy()
    kept = np.flatnonzero(reason == "")
    population = np.zeros(len(table), np.int64)
    if len(kept):
        level = (table.surroundings.to_numpy() + sizes.contrast)[kept]
        # The size of a clump is not that of its particles.
        single = ~judgement.clump[kept] if not judgement.clump[kept].all() else np.ones(len(kept), np.bool_)
        ones = kept[single]
        population[ones] = find_populations(
            level[single], sizes.contrast[ones], sizes.diameter_nm[ones], sizes.sure[ones]
        )
        population[kept[~single]] = nearest_population(level[~single], level[single], population[ones])

        def selection(contrast: float, diameter_nm: float) -> float:
            return selection_bias(contrast, diameter_nm, response, reader.detection, reader.pixel_nm)

        sizes = measure_sizes(
            table, response, reader.spacing_nm, reader.detection.smooth_noise, population, selection
        )
    reason[kept[sizes.volume_nm3[kept] < parameters.min_volume_nm3]] = "below min_volume_nm3"
    voxels = sizes.volume_nm3[kept] / float(np.prod(reader.spacing_nm))
    reason[kept[voxels < LEAST_VOXELS]] = "smaller than two voxels"
    return _Judged(table, sizes, population, judgement.confidence, reason, judgement.clump)


def _tables(
    judged: _Judged,
    kept: NDArray[np.int64],
    painted: PaintedParticles,
    split: SplitObjects,
    reader: CropReader,
    response: BallResponse,
    blur: AcquisitionBlur,
    parameters: NanoparticleParameters,
) -> Classified:
    table, sizes = judged.table, judged.sizes
    rest = np.setdiff1d(np.arange(len(table)), kept)
    # Two objects may claim the same voxels: the one that is less bright in them is left without any.
    reason = np.where(judged.reason == "", COVERED, judged.reason)
    agglomerate = number_agglomerates(table.body.to_numpy()[kept]).astype(np.int64)
    particles = particle_table(
        painted.voxels,
        table.iloc[kept],
        sizes.volume_nm3[kept],
        judged.confidence[kept],
        judged.population[kept],
        agglomerate,
        judged.clump[kept],
        reader.spacing_nm,
    )
    others = other_table(
        table.iloc[rest],
        sizes.volume_nm3[rest],
        judged.confidence[rest],
        reason[rest],
        reader.spacing_nm,
    )
    level = table.surroundings.to_numpy() + sizes.contrast
    told = kept if judged.clump[kept].all() else kept[~judged.clump[kept]]
    populations = describe_populations(
        judged.population[told], sizes.contrast[told], level[told], sizes.diameter_nm[told]
    )
    fraction = float(particles.voxel_count.sum() / np.prod(reader.source.shape))
    unsplit = split.single.reason if parameters.split_touching and split.diameter_nm is None else ""
    warnings = find_warnings(particles, others, populations, blur, unsplit, fraction, parameters)
    mixture = _mixture(
        particles, others, populations, fraction, warnings, split, reader, response, blur, parameters
    )
    return Classified(particles, others, agglomerate_table(particles, agglomerate), mixture, painted)


def _mixture(
    particles: pd.DataFrame,
    others: pd.DataFrame,
    populations: list[Population],
    fraction: float,
    warnings: list[str],
    split: SplitObjects,
    reader: CropReader,
    response: BallResponse,
    blur: AcquisitionBlur,
    parameters: NanoparticleParameters,
) -> Mixture:
    detection = reader.detection
    reasons = {str(k): int(v) for k, v in others.reason.value_counts().sort_index().items()}
    faintest = min((p.contrast for p in populations), default=None)
    limit = None if faintest is None else detection_limit(faintest, response, detection, reader.pixel_nm)
    return Mixture(
        polarity=parameters.polarity,
        dtype=detection.dtype,
        detected=bool(len(particles)),
        reason=_reason(len(particles), reasons, detection.min_contrast),
        populations=populations,
        others=reasons,
        fraction=fraction,
        noise=detection.noise,
        min_contrast=float(detection.min_contrast),
        blur_nm=blur.sigma_nm,
        depth_nm=blur.depth_nm,
        blur_objects=blur.objects,
        expected_diameter_nm=split.diameter_nm,
        detection_limit_nm=limit,
        warnings=warnings,
        maps=[(float(gain), float(offset)) for gain, offset in detection.maps],
    )


def _reason(count: int, others: dict[str, int], min_contrast: float) -> str:
    rest = ", ".join(f"{number} {reason}" for reason, number in others.items())
    if count:
        return f"{count} compact objects stand out from the tissue" + (
            f"; other objects: {rest}" if rest else ""
        )
    if rest:
        return f"no object that stands out is a nanoparticle: {rest}"
    return f"nothing stands out from the tissue by {min_contrast:.0f} grey values or more"

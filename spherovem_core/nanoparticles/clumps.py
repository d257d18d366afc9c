"""Clumps: bodies of several touching particles, split into them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.acquisition_blur import AcquisitionBlur
from spherovem_core.nanoparticles.ball_images import draw_balls
from spherovem_core.nanoparticles.ball_response import BallResponse
from spherovem_core.nanoparticles.bodies import Body
from spherovem_core.nanoparticles.component_fit import ComponentFit
from spherovem_core.nanoparticles.local_contrast import largest_diameter
from spherovem_core.nanoparticles.objects import Crop, CropReader, FoundObject, measured_pieces, object_table
from spherovem_core.nanoparticles.piece_measures import contrast_of
from spherovem_core.nanoparticles.single_size import SingleSize, evident_diameter
from spherovem_core.nanoparticles.sizes import measure_sizes
from spherovem_core.nanoparticles.splitting import split_particles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A body as compact as a ball is one particle: its fill relative to a ball's, and its axes.
_COMPACT_FILL, _COMPACT_LATERAL, _COMPACT_AXIAL = 0.88, 1.25, 1.35
# Half a ball fills 0.92 of the ellipsoid with its moments, a flat cap 0.85.
_CAP_FILL = 0.85
# ... unless it has more than this many times the diameter of a single particle: four that touch have 1.59 times, six 1.82 times.
_COMPACT_CLUMP = 1.5
# Balls explain a body if the mean squared residual, in contrasts, is less than this and the noise, and the contrast between
# inside and outside is that of balls: it is 1.0 to 1.2 times as high in clumps, and 0.5 to 0.8 times in patches of chromatin.
UNEXPLAINED, _CONTRASTS = 0.03, (0.85, 0.9)
# ... twice as much where the balls have that contrast, and at most this many times the volume of the body: the dark rim of a
# vesicle is no ball. Patches of chromatin with that contrast have 1.4 times the volume and more.
_RIMMED, _RIMMED_VOLUME = 0.06, 1.3
# Balls of more than this many times the volume of the body draw a neighbour of it: clumps have 1.0 to 2.0 times.
_MOST_VOLUME = 2.5
# A droplet can be filled with balls; a third of them and more are then as large as they may be.
_AS_LARGE = 1.04
# ... or, of so many, have less than this part of the others' share of the body to themselves.
_OWN_PART, _MOST_FEW, _FEWEST_FILLING = 0.7, 0.25, 7
# ... unless they leave less than this unexplained: clumps of 8 leave 0.001 to 0.01.
_FAITHFUL = 0.01
_FAINT = 0.85
_FEWEST_SINGLES, _RANGE = 8, (0.05, 0.95)
_FEWEST_VOXELS = 16
# Ratio of the sizes of particles in one clump, where no size is known.
_CONSISTENT = 2.0
# Clumps of more particles stay whole; larger bodies than this many of the largest particle's diameters show no size.
_MOST_PARTICLES, LARGEST_TRIAL = 60, 2.0
# Clumps that are split without a known size: enough to show one. They show none if balls explain less than these: balls explain a
# fifth and more of the bodies where there are clumps, and one of 27 or 35 patches of chromatin.
_MOST_TRIALS = 200
_FEWEST_EXPLAINED, _LEAST_EXPLAINED = 3, 0.3


@dataclass(frozen=True, eq=False)
class SplitObjects:
    """Objects after the split of clumps.

    Attributes
    ----------
    objects
        The objects.
    single
        Size of a single particle, as far as it is evident.
    diameter_nm
        Diameters by which the clumps were split; None where they are neither given nor evident.
    """

    objects: list[FoundObject]
    single: SingleSize
    diameter_nm: tuple[float, float] | None


class ClumpImage(NamedTuple):
    """Image of a body in its box with a rim of one voxel.

    Attributes
    ----------
    crop, body
        Crop that holds the body, and the body in it.
    low : (3,) ndarray
        First voxel of the box in the crop.
    mask : (Z, Y, X) ndarray of bool
        Voxels of the body.
    image : (Z, Y, X) ndarray of float32
        Intensities on the scale 0 = surroundings, 1 = inside.
    """

    crop: Crop
    body: Body
    low: NDArray[np.integer]
    mask: NDArray[np.bool_]
    image: NDArray[np.float32]


def split_clumps(
    objects: Sequence[FoundObject],
    table: pd.DataFrame,
    reader: CropReader,
    response: BallResponse,
    blur: AcquisitionBlur,
    parameters: NanoparticleParameters,
    execution: Execution,
) -> SplitObjects:
    """Split the bodies that are clumps of particles.

    Clumps are split by the size of a particle where it is known: it is expected, or it is the usual size of the objects that look
    single, or that of the particles into which clumps fall when any size is allowed. Otherwise the latter are taken as they
    are. A body whose image the balls do not draw stays whole: a patch of chromatin can be cut into balls, but not drawn by them.
    """
    diameters = measure_sizes(table, response, reader.spacing_nm, reader.detection.smooth_noise).diameter_nm
    solid, whole = is_solid(table, reader), _looks_whole(table, diameters, response)
    # What the border leaves of a particle does not show its size.
    uncut = ~table.cut.to_numpy(np.bool_)
    singles = diameters[solid & whole & uncut & (diameters <= largest_diameter(parameters))]
    single = evident_diameter(singles)
    known = parameters.expected_diameter_nm or single.diameter_nm
    pieces: dict[int, list[FoundObject]] = {}
    if known is None:
        trial = may_be_clump(table, diameters, solid & ~whole, LARGEST_TRIAL * largest_diameter(parameters))
        trial = trial[:_MOST_TRIALS]
        pieces = _split(objects, trial, None, reader, blur, execution)
        if len(pieces) < min(_FEWEST_EXPLAINED, _LEAST_EXPLAINED * len(trial)):
            pieces = {}
        found = object_table([part for parts in pieces.values() for part in parts])
        sizes = measure_sizes(found, response, reader.spacing_nm, reader.detection.smooth_noise).diameter_nm
        single = evident_diameter(np.concatenate([singles, sizes]))
        known = single.diameter_nm
    if known is None:
        return SplitObjects(_merge(objects, pieces), single, None)
    if parameters.expected_diameter_nm is None:
        known = _with_all_kinds(known, singles)
    widest = np.fmax(diameters, table.cap_nm.to_numpy(np.float64))
    several = solid & np.where(
        whole, widest > _COMPACT_CLUMP * known[1], diameters > np.minimum(1.1 * known[0], known[1])
    )
    clumps = may_be_clump(table, diameters, several, _MOST_PARTICLES ** (1 / 3) * known[1])
    pieces = _split(objects, clumps, known, reader, blur, execution)
    return SplitObjects(_merge(objects, pieces), single, known)


def _with_all_kinds(known: tuple[float, float], singles: NDArray[np.float64]) -> tuple[float, float]:
    """Widen the range of the usual size to that of the objects that look single: there may be two kinds of particle."""
    if len(singles) < _FEWEST_SINGLES:
        return known
    low, high = np.quantile(singles, _RANGE)
    return min(known[0], float(low)), max(known[1], float(high))


def is_solid(table: pd.DataFrame, reader: CropReader) -> NDArray[np.bool_]:
    """Mark the isolated objects with the contrast of candidates."""
    bright = contrast_of(table) >= _FAINT * reader.min_contrast_of(table)
    return np.asarray(bright & table.isolated.to_numpy())


def _looks_whole(
    table: pd.DataFrame, diameters: NDArray[np.float64], response: BallResponse
) -> NDArray[np.bool_]:
    """Mark the objects that are as compact as a ball, or as its cap."""
    compact = np.where(np.isnan(table.cap_nm), 1.0, _CAP_FILL) * _COMPACT_FILL
    return np.asarray(
        (table.fill > compact * response.fill_of(diameters))
        & (table.lateral < _COMPACT_LATERAL)
        & (table.axial < _COMPACT_AXIAL)
    )


def may_be_clump(
    table: pd.DataFrame, diameters: NDArray[np.float64], chosen: NDArray[np.bool_], largest_nm: float
) -> NDArray[np.int64]:
    """List the chosen objects that are large enough to show necks, span more than a slice, and are not too large to be fitted."""
    slices = np.array([box[3] - box[0] for box in table.box], np.int64)
    return np.flatnonzero(
        chosen & (table.voxels.to_numpy() >= _FEWEST_VOXELS) & (diameters < largest_nm) & (slices > 1)
    )


def _split(
    objects: Sequence[FoundObject],
    numbers: NDArray[np.int64],
    known: tuple[float, float] | None,
    reader: CropReader,
    blur: AcquisitionBlur,
    execution: Execution,
) -> dict[int, list[FoundObject]]:
    """Split some objects; returns the pieces of those that are several particles."""
    chosen = [(int(n), objects[n]) for n in numbers]
    results = map_blocks(
        _split_one, chosen, known, reader, blur,
        executor=execution.executor, ahead=4 * max(1, execution.workers),
    )  # fmt: skip
    return {number: pieces for (number, _), pieces in results if pieces}


def _split_one(
    item: tuple[int, FoundObject],
    known: tuple[float, float] | None,
    reader: CropReader,
    blur: AcquisitionBlur,
) -> list[FoundObject]:
    _, entry = item
    blur_nm = blur.drawn_nm(reader.spacing_nm)
    clump = read_clump(entry, reader)
    crop, body, low, mask, image = clump
    pieces, fit = split_particles(mask, image, reader.spacing_nm, known, blur_nm, depth_nm=blur.depth_nm)
    if known is None and not _is_consistent(fit, len(body.voxels)):
        return []
    noise = reader.detection.noise / max(body.contrast, 1e-6)
    if len(fit) < 2:
        return []
    drawn = unexplained(fit, clump, reader.spacing_nm, blur_nm, blur.depth_nm)
    residual = drawn[0] - noise**2
    if not _explains(fit, clump, reader.spacing_nm, residual, drawn[1]):
        return []
    if known is not None and np.quantile(fit.diameters_nm, 2 / 3) > _AS_LARGE * known[1]:
        return []
    if residual > _FAITHFUL and _overlap(fit, pieces, mask, reader.spacing_nm):
        return []
    parts = [
        np.argwhere(pieces == n).astype(np.int32) + low.astype(np.int32)
        for n in range(1, int(pieces.max()) + 1)
    ]
    measured = measured_pieces(body, parts, crop, reader, entry.body)
    return [
        replace(part, island=entry.island, piece=True, fitted_nm=float(diameter))
        for part, diameter in zip(measured, fit.diameters_nm, strict=True)
    ]


def _overlap(
    fit: ComponentFit, pieces: NDArray[np.uint32], mask: NDArray[np.bool_], spacing_nm: SpacingNm
) -> bool:
    """Return whether many balls have little of the body to themselves: they fill a droplet, or draw what lies beside it."""
    if len(fit) < _FEWEST_FILLING:
        return False
    counts = np.bincount(pieces.ravel(), minlength=len(fit) + 1)[1 : len(fit) + 1]
    # The border of the volume may cut balls.
    places = np.argwhere(np.ones(mask.shape, np.bool_)) * np.asarray(spacing_nm)
    within = [
        (((places - centre) ** 2).sum(axis=1) < (diameter / 2) ** 2).sum()
        for centre, diameter in zip(fit.centres_nm, fit.diameters_nm, strict=True)
    ]
    share = counts / np.maximum(within, 1)
    few = share < _OWN_PART * np.quantile(share, 0.75)
    return bool(few.mean() > _MOST_FEW)


def read_clump(entry: FoundObject, reader: CropReader) -> ClumpImage:
    """Read the image of a body in its box."""
    crop = reader.read(np.array(entry.measures.box, np.int64), narrow=True)
    own = entry.voxels[entry.inside] - np.array(crop.origin, np.int32)
    body = Body(
        own, entry.measures.level, entry.measures.surroundings, entry.measures.isolated, entry.measures.ground
    )
    low = np.maximum(own.min(axis=0) - 1, 0)
    high = np.minimum(own.max(axis=0) + 2, crop.smooth.shape)
    region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    mask = np.zeros(high - low, np.bool_)
    mask[tuple((own - low).T)] = True
    image = (crop.intensity[region] - body.surroundings) / np.float32(max(body.contrast, 1e-6))
    return ClumpImage(crop, body, low, mask, image)


def _is_consistent(fit: ComponentFit, voxels: int) -> bool:
    """Return whether balls of any size are of one size.

    Irregular bodies fall into balls of many sizes, and into specks.
    """
    largest, smallest = float(fit.diameters_nm.max()), float(fit.diameters_nm.min())
    return largest <= _CONSISTENT * smallest and voxels >= _FEWEST_VOXELS * len(fit)


def _explains(
    fit: ComponentFit, clump: ClumpImage, spacing_nm: SpacingNm, residual: float, contrast: float
) -> bool:
    """Return whether the fitted balls draw the image of a body: a patch of chromatin can be cut into balls, but not drawn.

    Parameters
    ----------
    fit, clump, spacing_nm
        Balls, and the body.
    residual, contrast
        From `unexplained`; the residual beyond that of noise.
    """
    # A lower contrast than that of balls is excused where little is left unexplained: the blur may be more than was measured.
    excused = min((contrast - _CONTRASTS[0]) / (_CONTRASTS[1] - _CONTRASTS[0]), 1.0)
    volume = np.pi / 6 * (fit.diameters_nm**3).sum() / (clump.mask.sum() * np.prod(spacing_nm))
    rimmed = contrast > _CONTRASTS[1] and volume < _RIMMED_VOLUME
    return bool(volume < _MOST_VOLUME and residual < (_RIMMED if rimmed else UNEXPLAINED * excused))


def unexplained(
    fit: ComponentFit, clump: ClumpImage, spacing_nm: SpacingNm, blur_nm: float, depth_nm: float
) -> tuple[float, float]:
    """Draw fitted balls; returns the mean squared residual around the body and the contrast of the balls, both relative to it."""
    from scipy.ndimage import binary_dilation

    balls = np.column_stack([fit.centres_nm, fit.diameters_nm / 2])
    drawn = draw_balls(balls, clump.mask.shape, np.asarray(spacing_nm), blur_nm, depth_nm=depth_nm)
    near, image = binary_dilation(clump.mask, iterations=1), clump.image
    # What surrounds a clump in a vesicle is brighter on one side: level and contrast are free.
    basis = np.column_stack([drawn[near], np.ones(int(near.sum()))])
    factors = np.linalg.lstsq(basis, image[near], rcond=None)[0]
    return float(((basis @ factors - image[near]) ** 2).mean()), float(factors[0])


def _merge(objects: Sequence[FoundObject], pieces: dict[int, list[FoundObject]]) -> list[FoundObject]:
    return [part for n, entry in enumerate(objects) for part in pieces.get(n, [entry])]

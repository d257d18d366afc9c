"""Objects of a volume: the bodies of all candidate components, found and measured in crops of the image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.bodies import Body, Surroundings, body_surroundings, find_bodies
from spherovem_core.nanoparticles.components import FIRST, SEEDS, Components, seeds_of
from spherovem_core.nanoparticles.crop_intensities import bring_to_scale, crop_intensities
from spherovem_core.nanoparticles.detection import Detection
from spherovem_core.nanoparticles.local_outline import mask_in_box, shows_outline
from spherovem_core.nanoparticles.piece_measures import PieceMeasures, measure_survey, survey, territories
from spherovem_core.nanoparticles.piece_survey import PieceSurvey
from spherovem_core.nanoparticles.streaks import without_streaks
from spherovem_core.nanoparticles.uneven_surroundings import even_surroundings
from spherovem_core.nanoparticles.window import Window
from spherovem_core.spacing import SpacingNm, pixel_nm

# A component with more voxels in its crop is not analysed: it is no particle and no clump that fits in memory.
MAX_CROP_VOXELS = 16_000_000
_CANDIDATE_FRACTION = 0.7
# Least and highest height of voxels within and beyond an outline that follows the surroundings.
_INSIDE, _OUTSIDE = 0.501, 0.499
# Components that begin in one cube of the image (z, y, x) are cut out together.
_CUBE = (64, 1024, 1024)
_COMPONENTS_PER_TASK = 64
# Voxels around a body that its measures look at, and standard deviations that its smoothing looks beyond them.
_MEASURED, _FILTER_REACH = 4, 4.0
_REGION_VOXELS = 80_000_000


@dataclass(frozen=True, eq=False)
class FoundObject:
    """An object: a body, or a piece of one.

    Attributes
    ----------
    measures
        Its measures.
    voxels : (N, 3) ndarray of int32
        Voxels of the volume within its territory, the brightest first.
    height : (N,) ndarray of float32
        Smoothed contrast of these voxels relative to the object's.
    inside : (N,) ndarray of bool
        Voxels within the half-way outline.
    body
        Number of its body, unique in the volume.
    island
        Number of the bright island that it is cut from: a body that a streak crosses falls into several.
    outlined
        True if the outline follows the surroundings; the heights within and beyond it are then set apart.
    piece
        True for one of several particles that a body was split into.
    fitted_nm
        Diameter of the ball that was fitted to a piece; NaN for a body.
    surroundings : (N,) ndarray of float32 or None
        Level of the surroundings at each voxel of a body between two levels.
    """

    measures: PieceMeasures
    voxels: NDArray[np.int32]
    height: NDArray[np.float32]
    inside: NDArray[np.bool_]
    body: int
    island: int = 0
    outlined: bool = False
    piece: bool = False
    fitted_nm: float = float("nan")
    surroundings: NDArray[np.float32] | None = None

    def heights(self, intensity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the heights of intensities (N,) at its voxels above the surroundings, relative to the object's contrast."""
        level = self.measures.level
        below = self.measures.surroundings if self.surroundings is None else self.surroundings
        return np.asarray((intensity - below) / np.maximum(level - below, 1e-6), np.float32)


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop of the volume on the scale of the stack."""

    origin: tuple[int, int, int]
    intensity: NDArray[np.float32]
    smooth: NDArray[np.float32]
    inside_volume: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CropReader:
    """Reader of crops, in grey values on the scale of the stack, with bright particles."""

    source: ArrayLike
    detection: Detection
    spacing_nm: SpacingNm

    @property
    def pixel_nm(self) -> float:
        """Side of a pixel."""
        return pixel_nm(self.spacing_nm)

    @property
    def slope_noise(self) -> float:
        """Standard deviation of a slope along an axis that noise leaves in the smoothed image, in grey values per nm."""
        sigma = float(np.sqrt(np.prod(self.detection.filters.sigma)))
        # That of the derivative of smoothed white noise; a difference over two pixels takes off a little.
        return float(self.detection.smooth_noise / (np.sqrt(2) * np.hypot(sigma, 0.5) * self.pixel_nm))

    def min_contrast_of(self, objects: pd.DataFrame) -> NDArray[np.float64]:
        """Return the contrast that candidates of the width of each object must have."""
        return self.detection.min_contrast_of(objects.section_nm.to_numpy() / self.pixel_nm)

    def limits(self, box: NDArray[np.int64], *, narrow: bool = False) -> tuple[list[int], list[int]]:
        """Widen a box by the margin of a crop; returns its first and its last voxel, half-open."""
        margin = [n + extra for n, extra in zip(self.detection.reach, (2, 4, 4), strict=True)]
        if narrow:
            filtered = (
                0,
                *(int(np.ceil(_FILTER_REACH * sigma)) + 1 for sigma in self.detection.filters.sigma),
            )
            margin = [min(m, n + _MEASURED) for m, n in zip(margin, filtered, strict=True)]
        low = [max(0, int(a) - m) for a, m in zip(box[:3], margin, strict=True)]
        high = [min(n, int(b) + m) for b, m, n in zip(box[3:], margin, self.source.shape, strict=True)]
        return low, high

    def holding(self, box: NDArray[np.int64]) -> "CropReader":
        """Return a reader that holds the image of a box, with the margin of its crops, in memory."""
        return replace(self, source=Window.read(self.source, *self.limits(box)))

    def intensities(self, voxels: NDArray[np.int32]) -> NDArray[np.float32]:
        """Read the intensities, as acquired, at voxels (N, 3) of the volume."""
        low = voxels.min(axis=0)
        own = Window.read(self.source, low, voxels.max(axis=0) + 1)
        maps = self.detection.maps[low[0] : low[0] + len(own.values)]
        found = bring_to_scale(own.values, maps, self.detection.polarity)
        return np.asarray(found[tuple((voxels - low).T)])

    def read(self, box: NDArray[np.int64], *, narrow: bool = False) -> Crop:
        """Read a box with a margin of the largest particle's radius and its surroundings.

        A narrow crop has a margin in which a body of this box can be measured, with the same values.
        """
        shape = self.source.shape
        low, high = self.limits(box, narrow=narrow)
        images = np.asarray(self.source[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
        maps = self.detection.maps[low[0] : high[0]]
        intensity, smooth = crop_intensities(images, maps, self.detection.polarity, self.detection.filters)
        faces = np.array([[a > 0, b < n] for a, b, n in zip(low, high, shape, strict=True)])
        return Crop((low[0], low[1], low[2]), intensity, smooth, faces)


def find_objects(
    components: Components,
    candidates: ArrayLike,
    reader: CropReader,
    execution: Execution,
) -> list[FoundObject]:
    """Find and measure the bodies of all components that hold a seed, in the order of the components.

    Components that lie near each other are cut out of one region, that is read once.
    """
    groups = group_boxes(components, reader)
    around = body_surroundings(reader.spacing_nm)
    found: dict[int, list[FoundObject]] = {}
    results = map_blocks(
        _objects_of, [_Group(components.sums[own], components.boxes[own]) for own in groups], candidates, reader, around,
        executor=execution.executor, ahead=2 * max(1, execution.workers),
    )  # fmt: skip
    for done, (own, (_, objects)) in enumerate(zip(groups, results, strict=True)):
        found |= dict(zip(own.tolist(), objects, strict=True))
        execution.report(done, len(groups))
    ordered = [((number, entry.island), entry) for number in sorted(found) for entry in found[number]]
    islands = {key: n for n, key in enumerate(dict.fromkeys(key for key, _ in ordered))}
    return [replace(entry, body=n, island=islands[key]) for n, (key, entry) in enumerate(ordered)]


def group_boxes(components: Components, reader: CropReader) -> list[NDArray[np.int64]]:
    """Group the components that hold a seed and can be cut out, by place: at most `_COMPONENTS_PER_TASK` in a cube of `_CUBE`."""
    boxes = components.boxes
    usable = np.flatnonzero(
        (components.sums[:, SEEDS] > 0) & (np.prod(boxes[:, 3:] - boxes[:, :3], axis=1) <= MAX_CROP_VOXELS)
    )
    cube = boxes[usable, :3] // np.array(_CUBE)
    order = np.lexsort((usable, cube[:, 2], cube[:, 1], cube[:, 0]))
    usable, cube = usable[order], cube[order]
    groups: list[NDArray[np.int64]] = []
    begin = 0
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(len(usable)):
        box = boxes[usable[n]]
        joint = np.maximum(high, box[3:]) - np.minimum(low, box[:3])
        alone = n == begin or (cube[n] != cube[begin]).any()
        if alone or n - begin >= _COMPONENTS_PER_TASK or joint.prod() > _REGION_VOXELS:
            groups.append(usable[begin:n])
            begin, low, high = n, box[:3], box[3:]
        low, high = np.minimum(low, box[:3]), np.maximum(high, box[3:])
    groups.append(usable[begin:])
    return [own for own in groups if len(own)]


class _Group(NamedTuple):
    """First voxels and boxes of the components of a group; see `Components`."""

    sums: NDArray[np.int64]
    boxes: NDArray[np.int64]


def _objects_of(
    group: _Group, candidates: ArrayLike, reader: CropReader, around: Surroundings
) -> list[list[FoundObject]]:
    """Find the objects of each component of a group."""
    low, high = group.boxes[:, :3].min(axis=0), group.boxes[:, 3:].max(axis=0)
    near = reader.holding(np.concatenate([low, high]))
    marked = Window.read(candidates, low, high)
    out = []
    for sums, box in zip(group.sums, group.boxes, strict=True):
        crop = near.read(box)
        first = np.array(np.unravel_index(int(sums[FIRST]), reader.source.shape)) - box[:3]
        seeds = np.zeros(crop.smooth.shape, np.bool_)
        begin = box[:3] - crop.origin
        here = tuple(slice(int(a), int(a + n)) for a, n in zip(begin, box[3:] - box[:3], strict=True))
        region = tuple(slice(int(a), int(b)) for a, b in zip(box[:3], box[3:], strict=True))
        seeds[here] = seeds_of(marked[region], (int(first[0]), int(first[1]), int(first[2])))
        bodies = find_bodies(
            crop.smooth,
            seeds,
            crop.inside_volume,
            _CANDIDATE_FRACTION * reader.detection.min_contrast,
            around,
            crop.intensity,
        )
        parts = (
            (n, part)
            for n, body in enumerate(bodies)
            for part in without_streaks(body, crop.smooth.shape, crop.inside_volume)
        )
        out.append([replace(_measured_body(part, crop, reader), island=n) for n, part in parts])
    return out


def _measured_body(body: Body, crop: Crop, reader: CropReader) -> FoundObject:
    """Measure a body; one between two levels as if one of them surrounded it."""
    evened = (
        even_surroundings(body, crop.intensity, crop.smooth, reader.spacing_nm) if body.isolated else None
    )
    if evened is None:
        return measured_pieces(body, [body.voxels], crop, reader)[0]
    even = replace(crop, intensity=evened.intensity, smooth=evened.smooth)
    entry = measured_pieces(evened.body, [evened.body.voxels], even, reader)[0]
    places = tuple((entry.voxels - np.array(crop.origin, np.int32)).T)
    return replace(entry, surroundings=evened.surroundings[places])


def _inside_first(found: PieceSurvey) -> PieceSurvey:
    """Order the voxels so that those within the outline come first: it follows uneven surroundings, their height does not."""
    height = np.where(found.inside, np.maximum(found.height, _INSIDE), np.minimum(found.height, _OUTSIDE))
    order = np.lexsort((-found.height, -height))
    return found._replace(
        voxels=found.voxels[order], height=height[order].astype(np.float32), inside=found.inside[order]
    )


def measured_pieces(
    body: Body, pieces: Sequence[NDArray[np.int32]], crop: Crop, reader: CropReader, number: int = 0
) -> list[FoundObject]:
    """Measure the pieces of a body and list the voxels of their territories."""
    shape, steps = tuple(reader.source.shape), np.asarray(reader.spacing_nm)
    grounds = territories(crop.smooth.shape, body, pieces)
    low = grounds.origin + crop.origin
    out = []
    for piece in range(1, len(pieces) + 1):
        found = survey(crop.intensity, crop.smooth, body, grounds, piece, steps)
        measures = measure_survey(found, body, low, shape, steps)
        outlined = shows_outline(body.voxels)
        if outlined:
            found = _inside_first(found)
        places = found.voxels + low.astype(np.int32)
        out.append(FoundObject(measures, places, found.height, found.inside, number, outlined=outlined))
    return out


def thickness_nm(entry: FoundObject, spacing_nm: SpacingNm) -> float:
    """Return the diameter of the largest ball inside an object."""
    import edt

    own = entry.voxels[entry.inside]
    if not len(own):
        return 0.0
    mask, _ = mask_in_box(own)
    return float(2 * edt.edt(mask, anisotropy=spacing_nm, black_border=True).max())


def boxes_of(voxels: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Compute the bounding boxes (N, 6) of lists of voxels: z0, y0, x0, z1, y1, x1, half-open."""
    return np.array([[*v.min(axis=0), *(v.max(axis=0) + 1)] for v in voxels], np.int64).reshape(-1, 6)


def object_table(objects: Sequence[FoundObject]) -> pd.DataFrame:
    """Collect the measures of objects in a table, with the columns of `PieceMeasures`, ``body``, ``island``, ``piece`` and
    ``fitted_nm``.
    """
    rows: list[Any] = [entry.measures for entry in objects]
    table = pd.DataFrame(rows, columns=list(PieceMeasures._fields))
    table = table.astype({"isolated": bool, "cut": bool})
    table["body"] = np.array([entry.body for entry in objects], np.int64)
    table["island"] = np.array([entry.island for entry in objects], np.int64)
    table["piece"] = np.array([entry.piece for entry in objects], np.bool_)
    table["fitted_nm"] = np.array([entry.fitted_nm for entry in objects], np.float64)
    return table

"""Parts of a volume around labelled slices, in which merging is learned."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.errors import LabelsError
from spherovem_core.segmentation.fine_tuning.slice_files import PLANES, SliceOrigin
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.mask_inputs import MaskInputs

DEPTH = 24
"""Voxels of the volume on both sides of a slice that are used."""
MOST_VOXELS = 96_000_000
"""Voxels up to which the surroundings of several slices become one region."""


@dataclass(frozen=True)
class PlacedSlice:
    """A labelled slice on the grid of the flows.

    Attributes
    ----------
    name
        Name of its file.
    axis, index
        The axis across the slice, and its voxel along it.
    region
        Voxels of the slice, one along `axis`.
    labels : (rows, columns) ndarray of uint32
        Instances, 0 is background or unknown.
    """

    name: str
    axis: int
    index: int
    region: Region
    labels: NDArray[np.uint32]


@dataclass
class TrainingRegion:
    """A part of the volume with its image, its flows, and the slices in it, all on the grid of the flows.

    Attributes
    ----------
    grid
        Its own grid, on which slices lie.
    image, flows
        (Z, Y, X) and (4, Z, Y, X).
    """

    grid: Grid
    image: NDArray[np.float32]
    flows: NDArray[np.float16]
    slices: list[PlacedSlice] = field(default_factory=list)

    @property
    def inputs(self) -> MaskInputs:
        """Return flows and image as inputs of masks on the grid of the flows."""
        return MaskInputs(self.flows, self.grid, self.grid, self.image, self.grid.in_sections)


def place_slice(origin: SliceOrigin, labels: NDArray[np.uint32], grid: Grid) -> PlacedSlice:
    """Find the voxels of a slice in the grid of the flows.

    Raises
    ------
    LabelsError
        If the slice does not lie on the grid.
    """
    axis = PLANES.index(origin.plane)
    rows, columns = (n for n in range(3) if n != axis)
    starts = {axis: origin.position_nm, rows: origin.corner_nm[0], columns: origin.corner_nm[1]}
    sides = {axis: 1, rows: labels.shape[0], columns: labels.shape[1]}
    exact = [(starts[n] - grid.origin_nm[n]) / grid.spacing_nm[n] for n in range(3)]
    first = [round(value) for value in exact]
    region = tuple(slice(first[n], first[n] + sides[n]) for n in range(3))
    inside = all(s.start >= 0 and s.stop <= n for s, n in zip(region, grid.shape, strict=True))
    if (
        not inside
        or not np.allclose(exact, first, atol=0.26)
        or not np.isclose(origin.pixel_nm, grid.spacing_nm[-1], rtol=1e-3)
    ):
        raise LabelsError(
            f"slice {origin.name} lies at voxels {[round(value, 2) for value in exact]} of {grid.shape} voxels of "
            f"{' x '.join(f'{side:g}' for side in grid.spacing_nm)} nm; it was cut from another volume, at another "
            "flow_spacing_nm or for other planes"
        )
    return PlacedSlice(origin.name, axis, first[axis], region, labels)


def surroundings(
    slices: Sequence[PlacedSlice], shape: tuple[int, int, int]
) -> list[tuple[Region, list[PlacedSlice]]]:
    """Return the regions around slices, and the slices in each; two become one where that takes no more voxels.

    Slices keep their voxels in the grid of the volume.
    """
    found = [(_around(one, shape), [one]) for one in sorted(slices, key=lambda s: (s.axis, s.index, s.name))]
    merged = True
    while merged:
        merged = False
        for a in range(len(found)):
            for b in range(a + 1, len(found)):
                union = tuple(
                    slice(min(s.start, t.start), max(s.stop, t.stop))
                    for s, t in zip(found[a][0], found[b][0], strict=True)
                )
                if _voxels(union) <= min(_voxels(found[a][0]) + _voxels(found[b][0]), MOST_VOXELS):
                    found[a] = (union, found[a][1] + found[b][1])
                    del found[b]
                    merged = True
                    break
            if merged:
                break
    return found


def moved(one: PlacedSlice, region: Region) -> PlacedSlice:
    """Return a slice with its voxels counted from the start of a region."""
    own = tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(one.region, region, strict=True))
    return PlacedSlice(one.name, one.axis, own[one.axis].start, own, one.labels)


def _around(one: PlacedSlice, shape: tuple[int, int, int]) -> Region:
    return tuple(
        slice(max(0, s.start - DEPTH), min(n, s.stop + DEPTH)) if axis == one.axis else s
        for axis, (s, n) in enumerate(zip(one.region, shape, strict=True))
    )


def _voxels(region: Region) -> int:
    return int(np.prod([s.stop - s.start for s in region]))

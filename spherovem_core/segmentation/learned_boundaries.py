"""Probability of boundaries between objects in a volume, by networks that were learned from labelled slices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.errors import NetworkError
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.resample import resample
from spherovem_core.utils.torch_device import torch_threads

TILE = 96
"""Side of the tiles, which start at multiples of it in the grid of the flows: a voxel's result does not depend on blocks."""
TILE_MARGIN = 24
"""Voxels around a tile that the networks see."""
LEVELS = 255
"""Probabilities are rounded to 1/255, so that the last bits of a sum decide nothing."""

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LearnedBoundaries:
    """Networks whose mean is the probability of a boundary.

    Attributes
    ----------
    states
        Weights of each `BoundaryNetwork`; without any, there is no boundary anywhere.
    axes
        Axes along which they know boundaries.
    """

    states: tuple[State, ...] = ()
    axes: tuple[int, ...] = (0, 1, 2)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return all arrays by names that start with the prefix."""
        found = {
            f"{prefix}.{number}.{name}": value
            for number, state in enumerate(self.states)
            for name, value in state.items()
        }
        return found | {f"{prefix}.axes": np.array(self.axes, np.int64)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str) -> "LearnedBoundaries":
        """Take the arrays of `arrays`, and check that they are networks of this version.

        Raises
        ------
        NetworkError
            If arrays are missing or do not fit.
        """
        parts: dict[int, State] = {}
        try:
            axes = tuple(arrays[f"{prefix}.axes"].tolist())
        except KeyError as error:
            raise NetworkError(f"array {error} is missing") from error
        for key, value in arrays.items():
            kind, _, rest = key.partition(".")
            number, _, name = rest.partition(".")
            if kind == prefix and number.isdigit():
                parts.setdefault(int(number), {})[name] = value
        found = cls(tuple(parts[number] for number in sorted(parts)), axes)
        if not set(axes) <= {0, 1, 2} or not axes:
            raise NetworkError(f"{prefix} knows the axes {axes}, expected some of 0, 1 and 2")
        try:
            found.networks()
        except (RuntimeError, KeyError) as error:
            raise NetworkError(f"{prefix} holds no networks of this version") from error
        return found

    def networks(self) -> list[Any]:
        """Return the networks in evaluation mode, on the CPU."""
        import torch

        from spherovem_core.segmentation.boundary_network import BoundaryNetwork

        found = []
        for state in self.states:
            network = BoundaryNetwork()
            network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
            found.append(network.to(memory_format=torch.channels_last_3d).eval())
        return found

    def probability(
        self, region: Region, inputs: MaskInputs, intensities: tuple[float, float]
    ) -> NDArray[np.uint8]:
        """Return the probability (2, z, y, x) times 255 that objects end, in a region of the grid of the flows.

        The first map compares the voxels beside each voxel, the second those 4 away, both along the axis where they differ most.
        The networks run on the CPU: with 30,000 operations a voxel they take a fraction of the flows' time. Memory is
        bounded by a tile, and by two bytes a voxel of the region.
        """
        networks = self.networks()
        found = np.zeros((2, *(s.stop - s.start for s in region)), np.uint8)
        with torch_threads(numba.get_num_threads()):
            for tile in _tiles(region):
                outer = tuple(
                    slice(max(0, s.start - TILE_MARGIN), min(n, s.stop + TILE_MARGIN))
                    for s, n in zip(tile, inputs.grid.shape, strict=True)
                )
                maps = _mean_maps(networks, image_on_flows(outer, inputs, intensities), self.axes)
                kept = [
                    (max(s.start, r.start), min(s.stop, r.stop)) for s, r in zip(tile, region, strict=True)
                ]
                source = tuple(slice(a - o.start, b - o.start) for o, (a, b) in zip(outer, kept, strict=True))
                target = tuple(
                    slice(a - r.start, b - r.start) for r, (a, b) in zip(region, kept, strict=True)
                )
                found[(slice(None), *target)] = maps[(slice(None), *source)]
        return found


NO_BOUNDARIES = LearnedBoundaries()


def image_on_flows(
    place: Region, inputs: MaskInputs, intensities: tuple[float, float]
) -> NDArray[np.float32]:
    """Return the image, 0 and 1 at the two intensities, in a region of the grid of the flows; zeros without an image."""
    low, high = intensities
    if inputs.image is None:
        return np.zeros([s.stop - s.start for s in place], np.float32)
    image = resample(inputs.image, inputs.target, inputs.grid, place)
    return (image - np.float32(low)) / np.float32(max(high - low, 1e-6))


def _mean_maps(
    networks: Sequence[Any], image: NDArray[np.float32], axes: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Return the maps (2, Z, Y, X) of an image, the mean of all networks."""
    import torch

    from spherovem_core.segmentation.boundary_network import MULTIPLE, REACHES

    padded = np.pad(image, [(0, -n % MULTIPLE) for n in image.shape], mode="edge")
    total = np.zeros((3 * len(REACHES), *padded.shape), np.float32)
    source = torch.from_numpy(padded)[None, None].to(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        for network in networks:
            total += torch.sigmoid(network(source))[0].numpy()
    total = total.reshape(len(REACHES), 3, *padded.shape)[(slice(None), list(axes))].max(axis=1)
    rounded: NDArray[np.uint8] = np.rint(LEVELS / max(len(networks), 1) * total).astype(np.uint8)
    return np.asarray(rounded[(slice(None), *(slice(0, n) for n in image.shape))])


def _tiles(region: Region) -> Iterator[Region]:
    """Yield the tiles that overlap a region; they may reach beyond the volume."""
    starts = [range(s.start // TILE * TILE, s.stop, TILE) for s in region]
    for corner in product(*starts):
        yield tuple(slice(start, start + TILE) for start in corner)

"""Distance of an image from the training phantoms of a compact network, by the statistics of its innermost layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FlowParameters
from spherovem_core.segmentation.grid import Grid, PlacedArray, flow_grid
from spherovem_core.segmentation.networks import COMPACT_NAMES, WEIGHTS, WIDE, load_network
from spherovem_core.segmentation.resample import resample
from spherovem_core.segmentation.tiles import measure_contrasts

Floats = NDArray[np.float64]

SIDE = 128
"""Pixels of the grid of flows along the side of a tile."""
LEAST_SIDE = 96
"""Least side of a tile: the innermost layer of a smaller one has too few pixels for the statistics of whole ones."""
PLANES, TILES = 5, 3
"""Planes along z, and tiles along each side of a plane, at most."""
SPACINGS = (0.5, 0.7, 1.4, 2.0, 2.8)
"""Factors of the flow spacing that are tried where tissue is unlike the training."""
MARGIN = 1.3
"""Limit by the largest distance of held-out phantoms, of which there are few."""
FEWEST = 2
"""Tiles with contrast from which there is a distance."""


@dataclass(frozen=True)
class TrainingStatistics:
    """Statistics of the features of tiles of training phantoms.

    Attributes
    ----------
    mean, scale : (F,) ndarray
        Mean and standard deviation of each feature.
    axes : (K, F) ndarray
        Principal axes of the scaled features.
    spread : (K,) ndarray
        Standard deviation along each, not below that of the remainder.
    remainder
        Root mean square of what the axes leave of a tile, per feature.
    limit
        Distance that held-out phantoms do not exceed.
    """

    mean: Floats
    scale: Floats
    axes: Floats
    spread: Floats
    remainder: float
    limit: float

    def distances(self, features: Floats) -> Floats:
        """Return the distance of each tile (N, F): root mean square of its deviations, 1 for a usual one."""
        scaled = (features - self.mean) / self.scale
        along = scaled @ self.axes.T
        left = ((scaled - along @ self.axes) ** 2).sum(axis=1) / self.remainder**2
        found: Floats = np.sqrt((((along / self.spread) ** 2).sum(axis=1) + left) / len(self.mean))
        return found


@dataclass(frozen=True)
class Familiarity:
    """Distance of an image from the training of a network.

    Attributes
    ----------
    distance
        Median distance of its tiles; NaN where there are too few with contrast.
    limit
        Distance that held-out phantoms do not exceed.
    suggested_nm
        Flow spacing at which it is least unlike; None where another one is no better.
    """

    distance: float
    limit: float
    suggested_nm: float | None = None

    @property
    def unlike(self) -> bool:
        """True if it is farther from the training than any held-out phantom."""
        return self.distance > self.limit

    def explanation(self, kind: str, network: str) -> str:
        """Say what was seen and what to do."""
        if self.suggested_nm is None:
            advice = f"no other flow spacing makes it more alike: correct some slices and fine-tune {network}, or use cpsam_v2"
        else:
            advice = (
                f"it is least unlike at flow_spacing_nm {self.suggested_nm:.3g}: look at the {kind} of a small region at that "
                "spacing, and fine-tune the network if they are wrong"
            )
        return (
            f"the image is unlike the training of the network {network} for {kind}: its inner layer is {self.distance:.1f} from "
            f"that of the training phantoms, where at most {self.limit:.1f} was found for other phantoms; {advice}"
        )

    def record(self) -> Mapping[str, float | None]:
        """Return what is stored with the flows."""
        return {"distance": self.distance, "limit": self.limit, "suggested_nm": self.suggested_nm}


def statistics_path(name: str, kind: str) -> Any:
    """Return the file of the training statistics of a compact network."""
    return WEIGHTS / f"{name.removesuffix(WIDE)}-{kind}-statistics.safetensors"


@lru_cache(maxsize=4)
def training_statistics(name: str, kind: str) -> TrainingStatistics | None:
    """Read the statistics of a shipped network; None for any other network."""
    from safetensors.numpy import load_file

    if name.removesuffix(WIDE) not in COMPACT_NAMES or not statistics_path(name, kind).is_file():
        return None
    stored = {key: value.astype(np.float64) for key, value in load_file(statistics_path(name, kind)).items()}
    return TrainingStatistics(
        stored["mean"],
        stored["scale"],
        stored["axes"],
        stored["spread"],
        float(stored["remainder"][0]),
        float(stored["limit"][0]),
    )


def tile_features(network: Any, tiles: NDArray[np.float32]) -> Floats:
    """Run normalised tiles (N, Y, X) through a compact network; return mean and spread of its innermost channels (N, F)."""
    import torch

    kept: list[Any] = []
    hook = network.bottom.register_forward_hook(lambda module, given, found: kept.append(found))
    try:
        with torch.no_grad():
            for tile in tiles:
                image = torch.zeros((1, 3, *tile.shape), device=network.device, dtype=network.dtype)
                image[0, 0] = torch.from_numpy(np.ascontiguousarray(tile)).to(network.device, network.dtype)
                network(image)
    finally:
        hook.remove()
    parts = [torch.cat([own.mean(dim=(2, 3)), own.std(dim=(2, 3))], dim=1) for own in kept]
    features: Floats = np.log1p(torch.cat(parts).float().cpu().numpy().astype(np.float64))
    return features


def fit_statistics(
    groups: Sequence[Floats], held_out: Sequence[Floats], axes: int = 24
) -> TrainingStatistics:
    """Fit the statistics to the tiles of training phantoms, and the limit to those of others.

    Each phantom counts the same.

    Parameters
    ----------
    groups
        Features (N, F) of the tiles of each phantom.
    held_out
        Those of other phantoms.
    axes
        Principal axes that are kept, at most.
    """
    weights = np.concatenate([np.full(len(own), 1 / len(own)) for own in groups])
    features = np.concatenate(groups)
    mean = np.average(features, axis=0, weights=weights)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights)) + 1e-3
    scaled = (features - mean) / scale
    covariance = (scaled * weights[:, None]).T @ scaled / weights.sum()
    values, vectors = np.linalg.eigh(covariance)
    kept = min(axes, len(features) // 4)
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept].T
    left = scaled - scaled @ vectors.T @ vectors
    remainder = float(np.sqrt(np.average((left**2).mean(axis=1), weights=weights))) + 1e-3
    found = TrainingStatistics(
        mean, scale, vectors, np.sqrt(np.maximum(values, remainder**2)), remainder, np.inf
    )
    medians = [float(np.median(found.distances(own))) for own in held_out]
    return TrainingStatistics(mean, scale, vectors, found.spread, remainder, MARGIN * max(medians))


def measure_familiarity(
    kind: str, source: PlacedArray, parameters: FlowParameters, device: str = "cpu"
) -> Familiarity | None:
    """Compare an image with what a compact network was trained on.

    Tiles from planes across the whole volume run through the network. The means and spreads of its innermost layer are compared
    with those of training phantoms by their Mahalanobis distance, as Lee et al. (NeurIPS 2018) do to detect images unlike
    the training. Where the image is unlike, other flow spacings are tried.

    Parameters
    ----------
    kind
        ``cells`` or ``nuclei``.
    source
        The registered image at a level at least as fine as the flows.
    parameters
        Network, flow spacing and percentiles.

    Returns
    -------
    Familiarity or None
        None for networks without training statistics.
    """
    statistics = training_statistics(parameters.network, kind)
    if statistics is None:
        return None
    network = load_network(parameters.network, kind, device)
    intensities = volume_percentile_range(source, parameters.normalise_percentiles)
    distance = _distance(network, statistics, source, parameters, intensities)
    if not distance > statistics.limit:
        return Familiarity(distance, statistics.limit)
    tried = {
        factor: _distance(
            network,
            statistics,
            source,
            parameters.model_copy(update={"flow_spacing_nm": parameters.flow_spacing_nm * factor}),
            intensities,
        )
        for factor in SPACINGS
    }
    known = {factor: found for factor, found in tried.items() if np.isfinite(found)}
    best = min(known, key=known.__getitem__, default=None)
    better = best is not None and known[best] < 0.9 * distance
    suggested = parameters.flow_spacing_nm * best if better and best is not None else None
    return Familiarity(distance, statistics.limit, suggested)


def _distance(
    network: Any,
    statistics: TrainingStatistics,
    source: PlacedArray,
    parameters: FlowParameters,
    intensities: tuple[float, float],
) -> float:
    tiles = sample_tiles(source, parameters, intensities)
    if len(tiles) < FEWEST:
        return float("nan")
    return float(np.median(statistics.distances(tile_features(network, tiles))))


def sample_tiles(
    source: PlacedArray, parameters: FlowParameters, intensities: tuple[float, float]
) -> NDArray[np.float32]:
    """Cut normalised tiles (N, side, side) with contrast out of planes across the volume, on the grid of the flows."""
    import torch

    shape = (source.shape[0], source.shape[1], source.shape[2])
    own = Grid(shape, source.spacing_nm, source.origin_nm)
    grid = flow_grid(shape, source.spacing_nm, parameters, source.origin_nm)
    side = min(SIDE, *(n // 16 * 16 for n in grid.shape[1:]))
    if side < LEAST_SIDE or intensities[1] <= intensities[0]:
        return np.zeros((0, SIDE, SIDE), np.float32)
    low, high = intensities
    tiles = []
    for z in _spread(grid.shape[0], 1, PLANES):
        for y in _spread(grid.shape[1], side, TILES):
            for x in _spread(grid.shape[2], side, TILES):
                region = (slice(z, z + 1), slice(y, y + side), slice(x, x + side))
                tiles.append((resample(source, own, grid, region)[0] - low) / (high - low))
    stack = np.asarray(tiles, np.float32)
    shown = measure_contrasts(torch.from_numpy(stack)).numpy() >= max(parameters.min_tile_contrast, 0.02)
    found: NDArray[np.float32] = stack[shown]
    return found


def _spread(extent: int, side: int, most: int) -> list[int]:
    """Return the first voxels of parts that are spread evenly over an axis and hardly overlap."""
    count = min(most, max(1, extent // side))
    return (
        sorted({int(n) for n in np.linspace(0, extent - side, count).round()})
        if count > 1
        else [(extent - side) // 2]
    )

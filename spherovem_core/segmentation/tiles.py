"""Tiles of a network: those without contrast are not computed, and batches are split until they fit in memory."""

from typing import Any

EMPTY_LOGIT = -10.0
"""Logit of each pass in an empty tile; the three passes add up to a probability of 1e-13."""

PATCH = 32
"""Side in pixels of the squares in which contrast is measured."""


def run_tiles(network: Any, tiles: Any) -> Any:
    """Predict flows and logit (N, 3, Y, X), float32, of tiles (N, C, Y, X); a batch too large for a GPU is split.

    PyTorch takes other code for one tile than for several, with other last bits: a single tile is computed twice.
    """
    import torch

    single = len(tiles) == 1
    try:
        with torch.no_grad():
            return network(torch.cat([tiles, tiles]) if single else tiles)[0][: len(tiles)].float()
    except torch.OutOfMemoryError:
        if single:
            raise
    torch.cuda.empty_cache()
    middle = len(tiles) // 2
    return torch.cat([run_tiles(network, part) for part in (tiles[:middle], tiles[middle:])])


def measure_contrasts(planes: Any) -> Any:
    """Measure the largest standard deviation in a square of 32 x 32 pixels of each plane (N, Y, X), a tensor (N,).

    Squares instead of whole planes let a corner of a cell in a large empty plane count.
    """
    from torch.nn import functional

    def mean(values: Any) -> Any:
        return functional.avg_pool2d(values[:, None], PATCH, ceil_mode=True, count_include_pad=False)[:, 0]

    # Around each plane's own mean, since the squares of large numbers lose the digits that count.
    centred = planes - planes.mean(dim=(1, 2), keepdim=True)
    variance = mean(centred**2) - mean(centred) ** 2
    return variance.clamp(min=0).sqrt().amax(dim=(1, 2))

"""Tiles of a network: empty ones are skipped, batches are split until they fit in memory."""

from typing import Any

EMPTY_LOGIT = -10.0
"""Logit of each pass in an empty tile; the three passes add up to a probability of 1e-13."""

PATCH = 32
"""Side in pixels of the squares in which contrast is measured."""


class TileRunner:
    """A network that ``cellpose.core`` calls with batches of tiles.

    Tiles without contrast are not computed: they get no flow and `EMPTY_LOGIT`. Resin around a spheroid and padding beyond
    it are most of a volume. A batch that does not fit in the memory of a GPU is split.

    Parameters
    ----------
    network
        From `load_network`.
    least_contrast
        See `measure_contrasts`; 0 computes every tile.
    """

    def __init__(self, network: Any, least_contrast: float = 0.0) -> None:
        self._network = network
        self._least_contrast = least_contrast
        self.device = network.device
        self.dtype = network.dtype

    def eval(self) -> None:
        """Set the network to prediction."""
        self._network.eval()

    def __call__(self, tiles: Any) -> tuple[Any, Any]:
        """Predict flows and logit (N, 3, Y, X) and style (N, 256), float32, of tiles (N, C, Y, X) with the image first."""
        import torch

        maps = torch.zeros((len(tiles), 3, *tiles.shape[2:]), device=tiles.device)
        maps[:, 2] = EMPTY_LOGIT
        styles = torch.zeros((len(tiles), 256), device=tiles.device)
        if self._least_contrast:
            shown = (measure_contrasts(tiles[:, 0].float()) >= self._least_contrast).nonzero()[:, 0]
        else:
            shown = torch.arange(len(tiles), device=tiles.device)
        if len(shown):
            found, style = self._compute(tiles[shown])
            maps[shown], styles[shown] = found.to(maps.dtype), style.to(styles.dtype)
        return maps, styles

    def _compute(self, tiles: Any) -> tuple[Any, Any]:
        import torch

        try:
            maps, styles = self._network(tiles)[:2]
        except torch.OutOfMemoryError:
            if len(tiles) == 1:
                raise
        else:
            return maps, styles
        torch.cuda.empty_cache()
        middle = len(tiles) // 2
        halves = [self._compute(part) for part in (tiles[:middle], tiles[middle:])]
        return torch.cat([maps for maps, _ in halves]), torch.cat([styles for _, styles in halves])


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


def shows_specimen(image: Any, least_contrast: float) -> bool:
    """Return whether any plane of a block (Z, Y, X), in any of the three directions, has that contrast."""
    import torch

    block = torch.from_numpy(image)
    return any(
        bool((measure_contrasts(part) >= least_contrast).any())
        for axis in range(3)
        for part in block.movedim(axis, 0).split(16)
    )

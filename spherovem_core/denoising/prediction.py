"""Prediction of single slices: the network on overlapping tiles, in bfloat16 where the device computes it."""

import copy
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, block_grid
from spherovem_core.denoising.precision import native_precision
from spherovem_core.denoising.trained_model import TrainedModel
from spherovem_core.utils.torch_device import torch_threads

Item = TypeVar("Item")
Precision = Literal["auto", "float32", "bfloat16"]

# Limits of a tile: bytes of its largest feature map, so that it stays in the cache, and pixels, so that several threads work
# on one slice. With 32 channels, a slice of 1024² took 2.5 s CPU time in tiles of 312² and 2.9 s in tiles of 312 x 540 in
# float32, 1.35 s and 1.2 s in bfloat16.
_MAP_BYTES = 13 << 20
_TILE_PIXELS = 190_000

# Fraction of a GPU's free memory that a batch may take.
_GPU_FRACTION = 0.5


class SliceDenoiser:
    """Trained network that predicts slices tile by tile.

    The halo of a tile covers the whole receptive field of the network, and tiles start on its pooling grid: up to
    rounding, the result is that of the slice in one piece and does not depend on the tile size.

    Parameters
    ----------
    model
        The model; it is not changed.
    precision
        ``auto`` takes bfloat16 if the device computes it natively, else float32. The last layer is always float32:
        rounding its output to bfloat16 would cost half a grey value.
    tile
        Side of a tile's core in pixels; 0 chooses it by slice and network.
    workers
        Threads on a CPU; each computes one tile at a time.
    """

    def __init__(
        self, model: TrainedModel, precision: Precision = "auto", tile: int = 0, workers: int = 1
    ) -> None:
        self.model = model
        self.halo = receptive_radius(model.depth, blur_pooling=model.algorithm.endswith("n2v2"))
        self.tile = _round_up(tile, 2**model.depth)
        self.precision = native_precision(model.device) if precision == "auto" else precision
        self._bytes = 2 if self.precision == "bfloat16" else 4
        self._network = _in_precision(model.network, self.precision)
        self.workers = workers

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Denoise a (Y, X) slice of any type; the result is in the same grey values, float32."""
        denoised = np.empty(values.shape, dtype=np.float32)
        tiles = block_grid(values.shape, self._tile_core(*values.shape), self.halo)
        if self.model.device.type == "cpu":
            self._denoise_on_cpu(values, tiles, denoised)
        else:
            by_shape = sorted(tiles, key=_outer_shape)
            for _, alike in itertools.groupby(by_shape, key=_outer_shape):
                self._denoise_on_gpu(values, list(alike), denoised)
        return denoised

    def _tile_core(self, height: int, width: int) -> tuple[int, int]:
        if self.tile:
            return self.tile, self.tile
        most = min(_TILE_PIXELS, _MAP_BYTES // (self._bytes * self.model.channels))
        return tile_shape(height, width, self.halo, 2**self.model.depth, most)

    def _denoise_on_cpu(
        self, values: NDArray[Any], tiles: Sequence[Block], denoised: NDArray[np.float32]
    ) -> None:
        """Denoise tiles one by one, each on one thread, so that rounding does not depend on the number of threads.

        Threads inside torch's operators would wait for each other at every operator; on a busy machine that took ten
        times as long.
        """
        import torch

        with torch_threads(1):
            if self.workers == 1 or len(tiles) == 1:
                for tile in tiles:
                    self._denoise_tiles(values, [tile], denoised)
                return
            with ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(lambda tile: self._denoise_tiles(values, [tile], denoised), tiles))

    def _denoise_on_gpu(
        self, values: NDArray[Any], tiles: Sequence[Block], denoised: NDArray[np.float32]
    ) -> None:
        """Denoise tiles of one shape in batches that fit the device."""
        compute_in_batches(
            lambda batch: self._denoise_tiles(values, batch, denoised),
            tiles,
            self._batch_size(_outer_shape(tiles[0])),
        )

    def _denoise_tiles(
        self, values: NDArray[Any], tiles: Sequence[Block], denoised: NDArray[np.float32]
    ) -> None:
        """Denoise tiles of one shape together."""
        result = self._run(np.stack([values[tile.outer] for tile in tiles]))
        for tile, plane in zip(tiles, result, strict=True):
            denoised[tile.core] = plane[tile.inner]

    def _run(self, stack: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise, predict and denormalise an (N, Y, X) stack."""
        import torch

        _, height, width = stack.shape
        step = 2**self.model.depth
        padding = ((0, 0), (0, -height % step), (0, -width % step))
        values = np.pad(stack, padding, mode="symmetric").astype(np.float32)
        values -= self.model.mean
        values /= self.model.scale
        dtype = getattr(torch, self.precision)
        with torch.inference_mode():
            tensor = torch.from_numpy(values[:, None]).to(self.model.device, dtype)
            result = self._network(tensor.contiguous(memory_format=torch.channels_last))
            result = result.float().mul_(self.model.scale).add_(self.model.mean)
        planes: NDArray[np.float32] = result[:, 0, :height, :width].cpu().numpy()
        return planes

    def _batch_size(self, shape: tuple[int, ...]) -> int:
        """Estimate how many tiles fit a GPU at once."""
        import torch

        # About eight feature maps of the size of the first level exist at once.
        needed = 8 * self._bytes * self.model.channels * int(np.prod(shape))
        free, _ = torch.cuda.mem_get_info(self.model.device)
        return max(1, int(_GPU_FRACTION * free / needed))


def compute_in_batches(compute: Callable[[Sequence[Item]], None], items: Sequence[Item], size: int) -> None:
    """Call `compute` on batches of up to `size` items, and halve the size each time the GPU runs out of memory.

    Raises
    ------
    torch.OutOfMemoryError
        If a single item does not fit.
    """
    import torch

    start = 0
    while start < len(items):
        try:
            compute(items[start : start + size])
            start += size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            torch.cuda.empty_cache()
            size //= 2


def receptive_radius(depth: int, blur_pooling: bool = False) -> int:
    """Compute the radius of the receptive field of a CAREamics U-Net, rounded up to its pooling grid.

    Counted in pixels of a level: two 3 x 3 convolutions reach 2 pixels in the encoder, the bottleneck and the decoder,
    pooling by 2 reaches 1 (2 in N2V2, which blurs with 3 taps), bilinear upsampling by 2 reaches 1.
    """
    step = 1 << depth
    encoder = (4 if blur_pooling else 3) * (step - 1)
    bottleneck = 2 * step
    decoder = 3 * (step - 1)
    return _round_up(encoder + bottleneck + decoder, step)


@cache
def tile_shape(height: int, width: int, halo: int, step: int, most: int) -> tuple[int, int]:
    """Choose the tile core that computes the fewest pixels twice, among the sizes that fit a cache.

    Parameters
    ----------
    height, width
        Rows and columns of the slice.
    halo
        Pixels that a tile reads beyond its core.
    step
        Sides of the core are multiples of it.
    most
        Most pixels of a tile with its halo, unless the halo needs more.
    """
    most = max(most, (4 * halo) ** 2)
    found = []
    for rows in _even_parts(height, step):
        for columns in _even_parts(width, step):
            if (rows + 2 * halo) * (columns + 2 * halo) <= most:
                computed = _with_halo(height, rows, halo) * _with_halo(width, columns, halo)
                found.append((computed, rows, columns))
    _, rows, columns = min(found)
    return rows, columns


def _even_parts(extent: int, step: int) -> list[int]:
    """List the sizes of 1, 2, 3 … equal parts of an axis, down to about 64 pixels."""
    return sorted({_round_up(-(-extent // count), step) for count in range(1, extent // 64 + 2)})


def _with_halo(extent: int, part: int, halo: int) -> int:
    """Count the pixels of all parts of an axis with their halos."""
    return sum(min(extent, start + part + halo) - max(0, start - halo) for start in range(0, extent, part))


def _round_up(extent: int, step: int) -> int:
    return -(-extent // step) * step


def _in_precision(network: Any, precision: str) -> Any:
    import torch

    if precision == "float32":
        return network
    network = copy.deepcopy(network).to(getattr(torch, precision))
    network.final_conv.float().register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    return network


def _outer_shape(tile: Block) -> tuple[int, ...]:
    return tuple(s.stop - s.start for s in tile.outer)

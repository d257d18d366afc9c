"""Denoising of one slice: the network on overlapping tiles, in half precision where the hardware has it."""

import copy
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, block_grid
from spherovem_core.denoising.network import TrainedModel
from spherovem_core.denoising.precision import native_precision
from spherovem_core.utils.torch_device import torch_threads

Precision = Literal["auto", "float32", "bfloat16"]

# Bytes of a tile's largest map, since larger ones leave the cache, and pixels of a tile, so that threads share a slice. With 32
# channels a slice of 1024² took 2.5 s of processor in tiles of 312² and 2.9 in 312 x 540 in float32, 1.35 and 1.2 in bfloat16.
_MAP_BYTES = 13 << 20
_TILE_PIXELS = 190_000

# Share of a GPU's free memory that a batch may take.
_GPU_SHARE = 0.5


class SliceDenoiser:
    """Runs a trained network over slices.

    The halo of a tile is the network's whole receptive field and tiles start on its pooling grid, so that
    a slice in tiles equals the slice in one piece up to rounding: the result knows no tile size.

    Parameters
    ----------
    model
        The network; it is not changed.
    precision
        ``auto`` takes bfloat16 where the device computes it natively, else float32. The last layer
        is always float32: rounding its output to bfloat16 would cost half a grey value.
    tile
        Side of a tile's core in pixels; 0 takes what suits slice and network.
    workers
        Threads on a CPU, each with a tile of its own.
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
        """Denoise tiles one by one, each on one thread: rounding depends on no number of threads.

        Threads inside torch's operators would meet at each of them; on a busy machine that took ten times as long.
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
        """Denoise tiles of one shape in batches that the device has room for."""
        import torch

        size = self._batch_size(_outer_shape(tiles[0]))
        start = 0
        while start < len(tiles):
            try:
                self._denoise_tiles(values, tiles[start : start + size], denoised)
                start += size
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                torch.cuda.empty_cache()
                size //= 2

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
        """Tiles that a GPU takes at once."""
        import torch

        # About eight feature maps of the first level's size are alive at once.
        needed = 8 * self._bytes * self.model.channels * int(np.prod(shape))
        free, _ = torch.cuda.mem_get_info(self.model.device)
        return max(1, int(_GPU_SHARE * free / needed))


def receptive_radius(depth: int, blur_pooling: bool = False) -> int:
    """Pixels around an output pixel that a U-Net of CAREamics sees, rounded up to its pooling grid.

    Counted in pixels of a level: two 3 x 3 convolutions see 2 on either way and in the middle, a pooling by 2
    sees 1 (N2V2 blurs it with 3 taps: 2), a bilinear upsampling by 2 sees 1.
    """
    step = 1 << depth
    encoder = (4 if blur_pooling else 3) * (step - 1)
    bottleneck = 2 * step
    decoder = 3 * (step - 1)
    return _round_up(encoder + bottleneck + decoder, step)


@cache
def tile_shape(height: int, width: int, halo: int, step: int, most: int) -> tuple[int, int]:
    """Core of the tiles that cover a slice with the fewest pixels computed twice, of those that suit a cache.

    Parameters
    ----------
    height, width
        Rows and columns of the slice.
    halo
        Pixels that a tile reads beyond its core.
    step
        Sides are a multiple of it.
    most
        Pixels of a tile with its halo, unless the halo needs more.
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
    """Sizes of 1, 2, 3 … equal parts of an axis, down to what is smaller than any useful tile."""
    return sorted({_round_up(-(-extent // count), step) for count in range(1, extent // 64 + 2)})


def _with_halo(extent: int, part: int, halo: int) -> int:
    """Pixels of all parts of an axis with their halos."""
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

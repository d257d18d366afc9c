"""Measurements behind two defaults: overlap of the tiles, and contrast below which tiles are skipped."""

import time

import numpy as np
from cellpose.core import run_net
from numpy.typing import NDArray

from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import Grid, flow_grid, load_network
from spherovem_core.segmentation.resample import resample
from spherovem_core.segmentation.tiles import measure_contrasts
from spherovem_core.synthetic.phantom import make_phantom

PLANE = 384
"""Side of a block of 256 with a halo of 64."""


def normalised(shape: tuple[int, int, int], seed: int, noise: float) -> NDArray[np.float32]:
    """Make a phantom and normalise it for the network, in voxels of 120 nm."""
    phantom = make_phantom(shape=shape, spacing_nm=(120.0, 40.0, 40.0), seed=seed)
    image = phantom.clean + np.random.default_rng(seed).normal(0, noise, shape)
    image = np.clip(image, 0, 255).astype(np.uint8)
    parameters = ObjectParameters(flow_spacing_nm=120.0)
    grid = flow_grid(shape, phantom.spacing_nm, parameters)
    low, high = volume_percentile_range(image, parameters.normalise_percentiles)
    return (resample(image, Grid(shape, phantom.spacing_nm), grid) - low) / (high - low)


def bench_overlap(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    image = normalised((8, 3 * PLANE, 3 * PLANE), 821, 4.0)
    planes = np.zeros((*image.shape, 3), np.float32)
    planes[..., 0] = image
    network = load_network("phantom-compact", "cells", "cpu")
    computed: list[int] = []
    network.register_forward_hook(lambda _, inputs, __: computed.append(len(inputs[0])))
    # Cellpose adds at least 8 pixels to each side.
    whole, _ = run_net(network, planes, batch_size=1, bsize=PLANE + 32, tile_overlap=0.1)
    assert computed == [1] * len(image)
    print(
        f"overlap of 256 x 256 tiles on {len(image)} planes of {PLANE} x {PLANE}, compared with planes in one tile"
    )
    print(
        "   overlap  tiles a plane  s  difference of flows: rms, 99 %  (their rms)  fraction of voxels across the threshold"
    )
    for overlap in (0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        computed.clear()
        start = time.perf_counter()
        found, _ = run_net(network, planes, batch_size=4, bsize=256, tile_overlap=overlap)
        seconds = time.perf_counter() - start
        error = np.linalg.norm(found[..., :2] - whole[..., :2], axis=-1)
        print(
            f"{overlap:10.2f} {sum(computed) // len(image):6d} {seconds:5.1f} {np.sqrt((error**2).mean()):10.3f} "
            f"{np.quantile(error, 0.99):8.3f} {np.sqrt((whole[..., :2] ** 2).sum(axis=-1).mean()):12.2f} "
            f"{((found[..., 2] > 0) != (whole[..., 2] > 0)).mean():12.5f}",
            flush=True,
        )


def bench_contrast() -> None:
    import torch

    print(
        "contrast of tiles of specimen and of resin (flat grey with the same noise), phantom in voxels of 120 nm"
    )
    print(
        "   noise (of 255)  specimen, tile of 64: least, median  tile of 32: least  resin, tile of 256: most"
    )
    for noise in (0.0, 4.0, 9.0):
        image = normalised((64, 512, 512), 822, noise)
        least = {}
        for side in (64, 32):
            tiles = (
                torch.from_numpy(image).unfold(1, side, side).unfold(2, side, side).reshape(-1, side, side)
            )
            least[side] = measure_contrasts(tiles).numpy()
        raw = np.random.default_rng(0).normal(0, noise, (6, 768, 768)).reshape(6, 256, 3, 256, 3)
        clean = make_phantom(shape=(6, 96, 96), spacing_nm=(120.0, 40.0, 40.0), seed=822).clean
        span = np.subtract(*np.percentile(clean, (99, 1)))
        resin = measure_contrasts(torch.from_numpy((raw.mean(axis=(2, 4)) / span).astype(np.float32))).numpy()
        print(
            f"{noise:12.0f} {least[64].min():28.3f} {np.median(least[64]):8.3f} {least[32].min():18.3f} "
            f"{resin.max():22.3f}",
            flush=True,
        )

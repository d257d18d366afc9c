"""Parts of the check on a GPU: each compares the device with the CPU on small data and measures a rate on large data."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _lattice import SPACING as LATTICE_SPACING
from _lattice import LatticeFlows
from shape import make_labels
from spatial import packed_tissue

from spherovem_core.blocks import MemorySink
from spherovem_core.denoising import SliceDenoiser, train_model
from spherovem_core.denoising.trained_model import TrainedModel, load_model
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters, ObjectParameters, RegistrationParameters
from spherovem_core.registration import register_stack, warp_stack
from spherovem_core.registration.affine import rms_displacement
from spherovem_core.segmentation import (
    MaskInputs,
    flow_grid,
    load_network,
    match_labels,
    predict_flows,
    segment_masks,
)
from spherovem_core.segmentation.grid import Grid
from spherovem_core.shape import measure_labels
from spherovem_core.spatial import distance_to_nucleus
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene

UNEQUAL = (50.0, 10.0, 10.0)
TABLE_TOLERANCE = 2e-3
"""Relative difference of descriptors; that of the tests."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the data of the parts: `compared` on both devices, `timed` on the device alone."""

    slice_side: int = 2048
    slices: int = 12
    compared_side: int = 192
    timed_side: int = 512
    tiles: int = 256
    training_slices: int = 64


@dataclass(frozen=True)
class Devices:
    """Devices of PyTorch and of CuPy that are checked; the stages that have their own code for a GPU take the second."""

    torch: str
    arrays: str


@dataclass(frozen=True)
class Comparison:
    """Difference between the device and the CPU, and what it may be."""

    what: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """True if the difference is within the tolerance."""
        return bool(self.difference <= self.tolerance)


@dataclass(frozen=True)
class Outcome:
    """Comparisons of a part, and its seconds and rates by name with their unit."""

    comparisons: list[Comparison]
    rates: dict[str, float]


class Stopwatch:
    """Seconds of work on a device; it waits for the device before it looks."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.seconds = 0.0

    @contextmanager
    def __call__(self) -> Any:
        """Measure what is done within."""
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.seconds = time.perf_counter() - started

    def _wait(self) -> None:
        import torch

        if self._device.startswith("cuda") and torch.cuda.is_available():
            torch.cuda.synchronize()


def _execution(device: str) -> Execution:
    return Execution(device, workers=len(os.sched_getaffinity(0)))


def textures(count: int, side: int) -> np.ndarray:
    """Make slices of an EM-like texture that are shifted by up to three pixels."""
    rng = np.random.default_rng(0)
    scene = TextureScene((side + 64, side + 64), seed=2)
    slices = []
    for z in range(count):
        matrix = np.array([[1.0, 0.0, rng.uniform(-3, 3)], [0.0, 1.0, rng.uniform(-3, 3)]])
        slices.append(scene.sample(matrix, (side, side), Appearance(change=0.0, noise=8.0), seed=z))
    return np.stack(slices)


def denoising(devices: Devices, sizes: Sizes) -> Outcome:
    """Train a model on the device, predict with it on both."""
    slices = textures(max(4, min(sizes.training_slices, 16)), max(128, sizes.slice_side // 4))
    parameters = DenoisingParameters(
        algorithm="n2v",
        training_slices=max(2, len(slices) - 2),
        validation_slices=2,
        patches_per_slice=sizes.training_slices,
        epochs=2,
    )
    watch, rates = Stopwatch(devices.torch), {}
    with tempfile.TemporaryDirectory() as folder:
        with watch():
            trained: TrainedModel = train_model(slices, Path(folder), parameters, _execution(devices.torch))
        pixels = (
            parameters.epochs
            * parameters.training_slices
            * parameters.patches_per_slice
            * parameters.patch_size**2
        )
        rates["N2V training, MB/s (2 epochs, with the start)"] = pixels / 1e6 / watch.seconds
        on_cpu, on_device = (
            SliceDenoiser(load_model(trained.path, device), "float32") for device in ("cpu", devices.torch)
        )
        expected, found = on_cpu(slices[0]), on_device(slices[0])
        daily = SliceDenoiser(load_model(trained.path, devices.torch))
    large = textures(1, sizes.slice_side)[0]
    daily(large)
    with watch():
        for _ in range(sizes.slices):
            daily(large)
    rates["N2V prediction, MB/s"] = sizes.slices * large.size / 1e6 / watch.seconds
    difference = float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())
    return Outcome(
        [Comparison("prediction in float32, rms over standard deviation", difference, 0.02)], rates
    )


def registration(devices: Devices, sizes: Sizes) -> Outcome:
    """Align and warp a stack on both devices; count pairs on large slices."""
    parameters = RegistrationParameters(drift="links", deformation_trend_slices=0)
    slices = textures(5, max(160, sizes.compared_side))
    aligned, warped = [], []
    for device in ("cpu", devices.torch):
        aligned.append(register_stack(slices, parameters, _execution(device)))
        out = np.zeros((len(slices), *aligned[0].crop.shape), np.uint8)
        warp_stack(slices, aligned[0], MemorySink(out), parameters, _execution(device))
        warped.append(out.astype(int))
    apart = rms_displacement(aligned[0].transforms - aligned[1].transforms, slices.shape[1:])
    large = textures(sizes.slices, sizes.slice_side)
    ledger: dict[str, Any] = {}
    watch = Stopwatch(devices.torch)
    with watch():
        register_stack(large, parameters, _execution(devices.torch), ledger=ledger)
    return Outcome(
        [
            Comparison("transforms, px", float(apart.max()), 0.02),
            Comparison("warped slices, grey values", float(np.abs(warped[0] - warped[1]).max()), 1.0),
        ],
        {f"registration, pairs/s of {sizes.slice_side}² in daily links": len(ledger) / watch.seconds},
    )


def flows(devices: Devices, sizes: Sizes) -> Outcome:
    """Predict flows with the compact network on both devices, and tiles of Cellpose-SAM with random weights on the device."""
    image = textures(sizes.compared_side, sizes.compared_side)
    parameters = ObjectParameters(flow_spacing_nm=50.0)
    grid = flow_grid(image.shape, LATTICE_SPACING, parameters)
    found = []
    for device in ("cpu", devices.torch):
        sink = MemorySink(np.zeros((4, *grid.shape), np.float16))
        network = load_network("phantom-compact", "cells", device)
        predict_flows(image, LATTICE_SPACING, grid, network, sink, parameters, _execution(device))
        found.append(sink.array.astype(np.float32))
    compact = float(np.sqrt(np.mean((found[0] - found[1]) ** 2)) / found[0].std())
    comparison = Comparison("compact network, rms over standard deviation", compact, 0.02)
    if not sizes.tiles:
        return Outcome([comparison], {})
    rounding, rate = _cellpose_sam(devices.torch, sizes.tiles)
    sam = Comparison(
        "Cellpose-SAM, bfloat16 on the device against float32, rms over standard deviation", rounding, 0.05
    )
    return Outcome([comparison, sam], {"Cellpose-SAM (random weights), tiles/s": rate})


def _cellpose_sam(device: str, count: int) -> tuple[float, float]:
    """Return the difference of a tile between the device and the CPU, and the tiles per second, eight at a time."""
    import torch
    from cellpose.vit import CPSAM

    from spherovem_core.segmentation.attention import use_fast_attention

    torch.manual_seed(0)
    network = CPSAM(dtype=torch.float32).eval()
    use_fast_attention(network)
    tiles = torch.rand((8, 3, 256, 256))
    watch = Stopwatch(device)
    with torch.no_grad():
        expected = network(tiles[:1])[0]
        network.to(device).dtype = torch.bfloat16
        batch = tiles.to(device, torch.bfloat16)
        found = network(batch)[0][:1].float().cpu()
        with watch():
            for _ in range(-(-count // len(batch))):
                network(batch)
    rate = -(-count // len(batch)) * len(batch) / watch.seconds
    return float((found - expected).square().mean().sqrt() / expected.std()), rate


def masks(devices: Devices, sizes: Sizes) -> Outcome:
    """Follow ideal flows by cellpose's dynamics on the device and by the compiled ones on the CPU."""
    labels, rates = [], {}
    parameters = ObjectParameters(min_diameter_um=0.5, flow_smoothing=0.0, merge_boundary_strength=0.0)
    for dynamics, device in (("compiled", "cpu"), ("cellpose", devices.torch)):
        own = parameters.model_copy(update={"mask_dynamics": dynamics})
        labels.append(_masks(sizes.compared_side, own, device)[0])
    own = parameters.model_copy(update={"mask_dynamics": "cellpose"})
    rates[f"masks by cellpose's dynamics, seconds at {sizes.timed_side}³"] = _masks(
        sizes.timed_side, own, devices.torch
    )[1]
    agreement = match_labels(labels[0], labels[1], iou=0.8).f1
    return Outcome([Comparison("objects, 1 - F1 at IoU 0.8", 1 - agreement, 0.05)], rates)


def _masks(side: int, parameters: ObjectParameters, device: str) -> tuple[np.ndarray, float]:
    grid = Grid((side,) * 3, LATTICE_SPACING)
    labels, scratch = (np.zeros(grid.shape, np.uint32) for _ in range(2))
    watch = Stopwatch(device)
    with watch():
        segment_masks(
            MaskInputs(LatticeFlows(side), grid, grid),
            MemorySink(scratch),
            MemorySink(labels),
            parameters,
            _execution(device),
        )
    return labels, watch.seconds


def shape(devices: Devices, sizes: Sizes) -> Outcome:
    """Measure ellipsoids on both devices."""
    labels, _ = make_labels(sizes.compared_side)
    expected, found = (measure_labels(labels, UNEQUAL, device=device) for device in ("cpu", devices.arrays))
    difference = 0.0
    for name in expected.select_dtypes("number"):
        a, b = expected[name].to_numpy(float), found[name].to_numpy(float)
        if (np.isnan(a) != np.isnan(b)).any():
            difference = np.inf
        scale = np.maximum(np.abs(a), 1e-3 * np.nanmax(np.abs(a), initial=0.0) + 1e-12)
        difference = max(difference, float(np.nanmax(np.abs(a - b) / scale, initial=0.0)))
    large, _ = make_labels(sizes.timed_side)
    watch = Stopwatch(devices.arrays)
    with watch():
        rows = len(measure_labels(large, UNEQUAL, device=devices.arrays))
    rates = {f"shape, seconds at {sizes.timed_side}³ ({rows} labels)": watch.seconds}
    return Outcome([Comparison("descriptors, relative", difference, TABLE_TOLERANCE)], rates)


def distance(devices: Devices, sizes: Sizes) -> Outcome:
    """Measure the distance to the nucleus on both devices."""
    cells, nuclei = packed_tissue(sizes.compared_side)
    expected, found = (
        distance_to_nucleus(nuclei, cells, UNEQUAL, device=device) for device in ("cpu", devices.arrays)
    )
    same = bool((np.isnan(expected) == np.isnan(found)).all())
    difference = float(np.nanmax(np.abs(expected - found))) if same else np.inf
    cells, nuclei = packed_tissue(sizes.timed_side)
    watch = Stopwatch(devices.arrays)
    with watch():
        distance_to_nucleus(nuclei, cells, UNEQUAL, device=devices.arrays)
    rates = {f"distance, seconds at {sizes.timed_side}³ ({int(cells.max())} cells)": watch.seconds}
    return Outcome([Comparison("distances, µm", difference, 1e-5)], rates)


PARTS: Mapping[str, Callable[[Devices, Sizes], Outcome]] = {
    "denoising": denoising,
    "registration": registration,
    "flows": flows,
    "distance": distance,
    "shape": shape,
    "masks": masks,
}

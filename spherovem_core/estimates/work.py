"""How much each step has to do, in units whose cost does not depend on the size of the volume."""

import math

from spherovem_core.estimates.sizes import SourceVolume, mask_grid
from spherovem_core.parameters import DenoiseParameters, PipelineParameters
from spherovem_core.segmentation.grid import flow_grid
from spherovem_core.store.layout import OBJECT_KINDS

MILLION = 1e6
TRAINING_PASSES = 3
"""A training step costs about as much as three predictions: forward, and backward through data and weights."""
CHANNELS = 32
"""Channels of the network whose pixels count once; the cost of a convolution grows with their square."""


def work_units(volume: SourceVolume, parameters: PipelineParameters) -> dict[str, float]:
    """Work of each step, by the names of a run's outputs.

    Millions of voxels of the image that the step goes over; for denoising millions of pixels that the network sees in
    training (all epochs) and prediction, as predictions of a network of 32 channels; 1 for the output.
    """
    image = volume.voxels / MILLION
    masks = math.prod(mask_grid(volume, parameters)[0]) / MILLION
    work = {
        "ingest": image,
        "denoise": _denoising(image, parameters.denoising),
        "register": image,
        "nanoparticles": image,
        "space": masks,
        "output": 1.0,
    }
    for kind in OBJECT_KINDS:
        grid = flow_grid(volume.shape, volume.spacing_nm, getattr(parameters, kind))
        work |= {f"flows_{kind}": math.prod(grid.shape) / MILLION, kind: masks, f"shape_{kind}": masks}
    return work


def _denoising(image: float, parameters: DenoiseParameters) -> float:
    pixels = parameters.training_slices * parameters.patches_per_slice * parameters.patch_size**2
    training = 0.0 if parameters.model else TRAINING_PASSES * parameters.epochs * pixels / MILLION
    return (training + image) * (parameters.network_channels / CHANNELS) ** 2

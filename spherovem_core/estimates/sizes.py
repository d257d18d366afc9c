"""Bytes that each step writes: exact before compression, and what is left of them on disk."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spherovem_core.parameters import PipelineParameters
from spherovem_core.segmentation.grid import flow_grid
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.layout import OBJECT_KINDS
from spherovem_core.store.ome import level_spacing
from spherovem_core.store.pyramid import level_factors, level_shape, nearest_level

STORED_SHARE: Mapping[str, float] = {
    "ingest": 0.78,
    "denoise": 0.84,
    "register": 0.84,
    "flows_cells": 0.77,
    "flows_nuclei": 0.77,
    "cells": 0.012,
    "nuclei": 0.006,
    "nanoparticle labels": 0.001,
    "nanoparticle posterior": 0.075,
    "distance": 0.2,
}
"""Bytes on disk of one before compression, pyramids included: those of the demo's phantom, summed over its files."""

MODEL_BYTES = 1_500_000
"""A denoising model and its records; the demo's took 1.1 MB."""
OUTPUT_BYTES = 10_000_000
"""Tables, provenance and the report; the demo's took 3.6 MB, and a report may have 15 MB."""


@dataclass(frozen=True)
class SourceVolume:
    """The raw image that a run begins with."""

    shape: tuple[int, int, int]
    itemsize: int
    spacing_nm: SpacingNm

    @property
    def voxels(self) -> int:
        """Voxels at full resolution."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class OutputSize:
    """What a step writes.

    Attributes
    ----------
    plain_bytes
        Before compression, all levels of its pyramids.
    stored_bytes
        Expected on disk.
    passing_bytes
        Expected on disk for as long as the step runs only.
    """

    plain_bytes: int
    stored_bytes: int
    passing_bytes: int = 0


def output_sizes(volume: SourceVolume, parameters: PipelineParameters) -> dict[str, OutputSize]:
    """Sizes of the outputs of each step, by the names of a run's outputs.

    The registered image is taken to be as large as the raw one: what will be cropped is not known before.
    """
    shape, spacing = mask_grid(volume, parameters)
    image = pyramid_voxels(volume.shape, volume.spacing_nm)
    masks = pyramid_voxels(shape, spacing)
    sizes = {
        "ingest": _size("ingest", image * volume.itemsize),
        "denoise": _size("denoise", image, MODEL_BYTES),
        "register": _size("register", image),
        "nanoparticles": _nanoparticles(volume, image),
        "space": _size("distance", 4 * masks),
        "output": OutputSize(OUTPUT_BYTES, OUTPUT_BYTES),
    }
    for kind in OBJECT_KINDS:
        grid = flow_grid(volume.shape, volume.spacing_nm, getattr(parameters, kind))
        sizes[f"flows_{kind}"] = _size(f"flows_{kind}", 8 * math.prod(grid.shape))
        passing = round(4 * math.prod(shape) * STORED_SHARE[kind])
        sizes[kind] = _size(kind, 4 * masks, passing=passing)
        sizes[f"shape_{kind}"] = OutputSize(0, 0)
    return sizes


def mask_grid(volume: SourceVolume, parameters: PipelineParameters) -> tuple[tuple[int, int, int], SpacingNm]:
    """Shape and voxel size of the pyramid level on which cells and nuclei are labelled."""
    factors = level_factors(volume.shape, volume.spacing_nm)
    level = factors[nearest_level(factors, volume.spacing_nm, parameters.cells.mask_spacing_nm)]
    return level_shape(volume.shape, level), level_spacing(volume.spacing_nm, level)


def pyramid_voxels(shape: tuple[int, int, int], spacing_nm: SpacingNm) -> int:
    """Voxels of all levels of an image's pyramid."""
    return sum(math.prod(level_shape(shape, factors)) for factors in level_factors(shape, spacing_nm))


def _nanoparticles(volume: SourceVolume, image: int) -> OutputSize:
    labels = STORED_SHARE["nanoparticle labels"]
    stored = 4 * image * labels + 2 * image * STORED_SHARE["nanoparticle posterior"]
    return OutputSize(6 * image, round(stored), round(4 * volume.voxels * labels))


def _size(name: str, plain_bytes: int, more: int = 0, passing: int = 0) -> OutputSize:
    stored = round(plain_bytes * STORED_SHARE[name]) + more
    return OutputSize(plain_bytes + more, stored, passing)

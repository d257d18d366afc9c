"""Cost of a step, estimated from shapes and parameters before it runs: disk, memory and work."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.ome import level_spacing
from spherovem_core.store.pyramid import level_factors, level_shape, nearest_level, without_first

MILLION = 1e6


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

    @property
    def pyramid_voxels(self) -> int:
        """Voxels of all levels of an image of this shape."""
        return pyramid_voxels(self.shape, self.spacing_nm)


@dataclass(frozen=True)
class OutputSize:
    """Bytes that a step writes.

    Attributes
    ----------
    plain_bytes
        Before compression, all levels of its pyramids.
    stored_bytes
        Expected on disk.
    passing_bytes
        Expected on disk only while the step runs.
    """

    plain_bytes: int
    stored_bytes: int
    passing_bytes: int = 0

    @classmethod
    def compressed(
        cls, plain_bytes: int, fraction: float, *, more: int = 0, passing: int = 0
    ) -> "OutputSize":
        """Return the size of an array that compresses to a fraction, and `more` bytes in addition."""
        return cls(plain_bytes + more, round(plain_bytes * fraction) + more, passing)


Size = Callable[[SourceVolume, PipelineParameters], OutputSize]
Work = Callable[[SourceVolume, PipelineParameters], float]
Memory = Callable[[SourceVolume, PipelineParameters, ExecutionSettings], int]


def no_size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    """Return the size of a step that writes only small files."""
    return OutputSize(0, 0)


def image_work(volume: SourceVolume, parameters: PipelineParameters) -> float:
    """Return the millions of voxels of the full image, for a step that reads it once."""
    return volume.voxels / MILLION


def mask_work(volume: SourceVolume, parameters: PipelineParameters) -> float:
    """Return the millions of voxels of the grid of the masks."""
    return math.prod(mask_grid(volume, parameters)[0]) / MILLION


def _no_memory(volume: SourceVolume, parameters: PipelineParameters, settings: ExecutionSettings) -> int:
    return 0


def _one_variant(parameters: PipelineParameters) -> str:
    return ""


@dataclass(frozen=True)
class Cost:
    """Cost of a step.

    Attributes
    ----------
    work
        Amount of work, in a unit whose time does not depend on the size of the volume.
    size
        Bytes that it writes.
    memory
        Bytes that it needs beside the libraries of the process.
    variant
        Name of the variant that decides its speed on a device, such as a network.
    seconds
        Seconds per unit of work on two cores, by variant, measured on the demo; other variants are unknown.
    fixed_seconds
        Seconds on two cores beside that, however small the work: fits, loading of networks and compiled loops.
    """

    work: Work
    size: Size = no_size
    memory: Memory = _no_memory
    variant: Callable[[PipelineParameters], str] = _one_variant
    seconds: Mapping[str, float] = field(default_factory=dict)
    fixed_seconds: float = 0.0


def pyramid_voxels(shape: tuple[int, int, int], spacing_nm: SpacingNm, *, is_sparse: bool = False) -> int:
    """Count the voxels of all levels of an image's pyramid, a sparse one without its first coarser level."""
    factors = level_factors(shape, spacing_nm)
    return sum(
        math.prod(level_shape(shape, each)) for each in (without_first(factors) if is_sparse else factors)
    )


def mask_grid(volume: SourceVolume, parameters: PipelineParameters) -> tuple[tuple[int, int, int], SpacingNm]:
    """Return shape and voxel size of the pyramid level on which cells and nuclei are labelled.

    The registered image is assumed to be as large as the raw one, because the crop is not known yet.
    """
    factors = level_factors(volume.shape, volume.spacing_nm)
    wanted = parameters.segmentation.cells.mask_spacing_nm
    level = factors[nearest_level(factors, volume.spacing_nm, wanted)]
    return level_shape(volume.shape, level), level_spacing(volume.spacing_nm, level)

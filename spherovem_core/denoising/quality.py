"""Measures of how well a stack was denoised."""

from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.denoising.automatic import Choice
from spherovem_core.denoising.grey_map import GreyMap
from spherovem_core.denoising.noise import NoiseModel
from spherovem_core.denoising.noise_measurement import MeasuredNoise


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SliceQuality(_Record):
    """Residual of one slice: noisy minus denoised, in grey values of the source."""

    z: int
    residual_mean: float = Field(description="Mean of the residual in grey values of the source.")
    residual_std: float = Field(
        description="Standard deviation of the residual in grey values of the source."
    )
    clipped_fraction: float = Field(description="Fraction of the pixels outside the range of the stack.")


class SampleStatistics(_Record):
    """Noise, intensity range and residual of a sample of slices, measured before the whole stack is denoised."""

    slices: tuple[int, ...] = Field(description="Slices of the sample.")
    low: float = Field(description="Denoised grey value that becomes 0.")
    high: float = Field(description="Denoised grey value that becomes 255.")
    grey_map: GreyMap = Field(description="Map from denoised grey values to 8 bits.")
    noise: NoiseModel | None = Field(
        default=None,
        description="Variance of the noise that the denoiser used; none where only the network's prediction is used.",
    )
    measured: MeasuredNoise = Field(description="Noise of the raw slices.")
    choice: Choice | None = Field(
        default=None, description="The method that `auto` chose; none for another algorithm."
    )
    autocorrelation: dict[str, list[float]] = Field(
        description="Autocorrelation of the residual along y and x at lags of 1, 2 and 3 pixels."
    )


class DenoisingQuality(_Record):
    """Quality of a denoised stack; a resumed run gives the same values as an uninterrupted one."""

    algorithm: str
    precision: str
    sample: SampleStatistics
    clipped_fraction: float = Field(description="Fraction of the stack's voxels outside its range.")
    slices: tuple[SliceQuality, ...]
    loss: tuple[dict[str, float], ...] = Field(
        description="Training and validation loss per epoch; empty for a model that was trained elsewhere."
    )

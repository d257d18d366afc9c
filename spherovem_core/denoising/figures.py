"""Figures of a denoising."""

from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.denoising.noise import NoiseModel


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SliceFigures(_Figures):
    """What a denoising took from one slice; the residual is noisy minus denoised."""

    z: int
    residual_mean: float = Field(description="Mean of the residual in grey values of the source.")
    residual_std: float = Field(
        description="Standard deviation of the residual in grey values of the source."
    )
    clipped_share: float = Field(description="Share of the pixels beyond the range of the stack.")


class Survey(_Figures):
    """What a sample of slices tells before the pass over all."""

    slices: tuple[int, ...] = Field(description="Slices of the sample.")
    low: float = Field(description="Denoised grey value that becomes 0.")
    high: float = Field(description="Denoised grey value that becomes 255.")
    noise: NoiseModel | None = Field(
        default=None, description="Variance of the noise; none where the network's prediction alone counts."
    )
    autocorrelation: dict[str, list[float]] = Field(
        description="Autocorrelation of the residual along y and x at lags of 1, 2 and 3 pixels."
    )


class DenoiseReport(_Figures):
    """Figures of a denoised stack; those of a resumed pass equal those of an uninterrupted one."""

    algorithm: str
    precision: str
    survey: Survey
    clipped_share: float = Field(description="Share of the stack's voxels beyond its range.")
    slices: tuple[SliceFigures, ...]
    loss: tuple[dict[str, float], ...] = Field(
        description="Training and validation loss of each epoch; empty for a model whose training is not at hand."
    )

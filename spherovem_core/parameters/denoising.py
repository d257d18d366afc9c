"""Parameters of the stage denoising."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from spherovem_core.parameters.base import EXPERT, StageParameters

REPAIRS_OFF: Mapping[str, Any] = {"repair_shading": False, "repair_stripes": "none", "repair_contrast": False}
"""Parameters of repairs that are switched off; with these values they are left out of the digests of results and models."""


class DenoisingParameters(StageParameters):
    """Self-supervised denoising."""

    algorithm: Literal["auto", "n2v", "n2v2", "structn2v", "none"] = Field(
        default="auto",
        description="With auto, the noise of the raw slices is measured, a network learns to remove such noise, and it is used "
        "where its estimated error is below that of a plain filter. The others take no account of the measured noise: "
        "Noise2Void, its variant N2V2, which makes no checkerboard patterns but keeps less detail, or "
        "structN2V against noise that is correlated along scan lines. With none, the slices are denoised already and are taken "
        "as they are; 16 bits become 8 by range_percentiles.",
    )
    model: str | None = Field(
        default=None,
        description="Checkpoint of an earlier run to use instead of training on this acquisition.",
    )
    repair_shading: bool = Field(
        default=False,
        description="Divide by the shading of the frame before denoising: brightness that varies slowly across it and is the "
        "same in all slices, estimated from the slices. The raw image stays as acquired.",
    )
    repair_stripes: Literal["none", "vertical", "horizontal", "auto"] = Field(
        default="none",
        description="Remove stripes along this direction before denoising, such as curtains of the ion beam; auto takes the "
        "direction in which there are stripes. Slices without stripes stay as they are.",
    )
    repair_contrast: bool = Field(
        default=False,
        description="Match gain and offset of each slice to those around it before denoising. Slow and lasting changes stay.",
    )
    training_slices: int = Field(
        json_schema_extra=EXPERT,
        default=64,
        ge=2,
        le=4096,
        description="Slices, spread over the stack, from which training patches are drawn.",
    )
    validation_slices: int = Field(
        json_schema_extra=EXPERT,
        default=8,
        ge=1,
        le=512,
        description="Further slices, on which the validation loss is measured.",
    )
    patch_size: int = Field(
        json_schema_extra=EXPERT,
        default=64,
        ge=16,
        le=512,
        multiple_of=8,
        description="Side of a training patch in pixels.",
    )
    patches_per_slice: int = Field(
        json_schema_extra=EXPERT, default=16, ge=1, le=4096, description="Patches drawn from each slice."
    )
    masked_percent: float = Field(
        json_schema_extra=EXPERT,
        default=8.0,
        ge=0.05,
        le=10.0,
        description="Percentage of a patch's pixels that are hidden from the network and predicted; not with auto.",
    )
    scan_lines: Literal["horizontal", "vertical"] = Field(
        default="horizontal", description="Direction of the scan lines; structn2v only."
    )
    scan_line_span: int = Field(
        json_schema_extra=EXPERT,
        default=5,
        ge=3,
        le=15,
        description="Pixels along a scan line, an odd number, that are hidden with the middle one; structn2v only.",
    )
    epochs: int = Field(
        default=30, ge=1, le=1000, description="Largest number of passes over the training patches."
    )
    patience: int = Field(
        json_schema_extra=EXPERT,
        default=8,
        ge=1,
        le=1000,
        description="Stop after this many epochs without a better validation loss.",
    )
    batch_size: int = Field(
        json_schema_extra=EXPERT, default=32, ge=1, le=1024, description="Patches per training step."
    )
    network_depth: int = Field(
        json_schema_extra=EXPERT, default=2, ge=1, le=4, description="Levels of the U-Net."
    )
    network_channels: int = Field(
        json_schema_extra=EXPERT, default=32, ge=8, le=128, description="Channels of the U-Net's first level."
    )
    learning_rate: float = Field(
        json_schema_extra=EXPERT, default=1e-3, gt=0.0, le=0.1, description="Step size of the optimiser."
    )
    posterior_mean: bool = Field(
        json_schema_extra=EXPERT,
        default=True,
        description="Give back what the network removed and the noise does not explain: with auto, small "
        "objects and their contrast; otherwise by weighing the prediction of a pixel against its measured value by their "
        "variances. Off, the prediction alone counts.",
    )
    range_percentiles: tuple[float, float] = Field(
        json_schema_extra=EXPERT,
        default=(0.05, 99.99),
        description="Percentiles of the denoised intensities that become 0 and 255, the same for the whole stack. The map "
        "is linear; with auto, values far outside the tissue are compressed where the tissue would get fewer than 72 levels.",
    )
    seed: int = Field(
        json_schema_extra=EXPERT,
        default=0,
        ge=0,
        description="Seed of patch choice, masking and network initialisation.",
    )

    @model_validator(mode="after")
    def _percentiles_rise_and_span_is_odd(self) -> Self:
        low, high = self.range_percentiles
        if not 0.0 <= low < high <= 100.0:
            raise ValueError(f"range_percentiles {low}, {high} must rise within 0 and 100")
        if self.scan_line_span % 2 == 0:
            raise ValueError(
                f"scan_line_span {self.scan_line_span} must be odd, so that it has a middle pixel"
            )
        return self


def repairs_asked_for(parameters: DenoisingParameters) -> bool:
    """Return whether any repair is switched on."""
    return any(getattr(parameters, name) != off for name, off in REPAIRS_OFF.items())

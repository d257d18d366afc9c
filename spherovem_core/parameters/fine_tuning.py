"""Parameters of cutting slices for labelling, and of training on them."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from spherovem_core.parameters.base import EXPERT, Percentiles, PositiveNm, StageParameters
from spherovem_core.parameters.segmentation import KindName


def _one_message(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Say what is wrong with a number or ``auto`` once, not once for the number and once for the word."""
    try:
        return handler(value)
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise PydanticCustomError("number_or_auto", "{first}, or be auto", {"first": first}) from None


ONE_MESSAGE = WrapValidator(_one_message)


class SliceCuttingParameters(StageParameters):
    """Slices that are cut from a volume for labelling by hand."""

    places: Literal["spread", "uncertain"] = Field(
        default="spread",
        description="Where slices lie: spread at random over the volume, or where the segmentation is most uncertain.",
    )
    slices_per_plane: int = Field(
        default=7,
        ge=1,
        le=1000,
        description="Slices in each of the planes, where they are spread.",
    )
    slice_count: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Slices in all planes together, where they are chosen by uncertainty.",
    )
    planes: Literal["all", "xy"] = Field(
        default="all",
        description="Planes of the slices: all three, or xy alone, each on a section as acquired, for serial sections much "
        "thicker than flow_spacing_nm.",
    )
    kind: Literal["cells", "nuclei"] = Field(
        default="cells",
        description="Kind of objects to label: whose uncertainty counts, and whose labels are the start.",
    )
    flow_spacing_nm: PositiveNm = Field(
        default=100.0,
        description="Pixel size of the slices in nm: the flow_spacing_nm at which the network will see volumes.",
    )
    side_px: int = Field(
        default=512,
        ge=64,
        le=8192,
        description="Longest side of a slice in pixels; a larger plane is cut to it.",
    )
    normalise_percentiles: Percentiles = Field(
        default=(1.0, 99.0),
        description="Intensity percentiles of the volume that the network will see as 0 and 1, kept with each slice.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the positions at which slices are cut.")


class FineTuningParameters(StageParameters):
    """Training of a segmentation network on labelled slices."""

    kind: KindName = Field(
        default="cells",
        description="Kind of objects that the labels of the slices show: cells, nuclei, or any other name.",
    )
    network: str = Field(
        default="cpsam_v2",
        min_length=1,
        description="Network to start from: cpsam_v2, another name cellpose knows, a path to weights, em-compact or "
        "phantom-compact; em-compact-wide and phantom-compact-wide have four times their weights.",
    )
    flow_spacing_nm: PositiveNm = Field(
        default=100.0,
        description="Pixel size of the slices in nm: the flow_spacing_nm at which the network will see volumes.",
    )
    planes: Literal["all", "xy"] = Field(
        default="all",
        description="Planes of volumes that the network will see: all three, or xy alone, as the slices were cut.",
    )
    normalise_percentiles: Percentiles = Field(
        default=(1.0, 99.0),
        description="Intensity percentiles that become 0 and 1 in slices whose file does not give them.",
    )
    unlabelled: Literal["background", "unknown"] = Field(
        default="background",
        description="Meaning of pixels with label 0: background, or unknown where only some objects are labelled. Objects are "
        "then complete. Unknown pixels are neither learnt from nor evaluated.",
    )
    background_label: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="Label number with which background is painted where 0 is unknown; 0 is none.",
    )
    held_out_fraction: float = Field(
        default=0.2,
        ge=0.05,
        le=0.5,
        description="Fraction of each plane's slices that are kept for evaluation; they neither train nor choose.",
    )
    choice_fraction: float = Field(
        default=0.15,
        ge=0.0,
        le=0.5,
        description="Fraction of the slices that choose learning rate, epoch and threshold; at least one where there are enough.",
    )
    epochs: Annotated[Annotated[int, Field(ge=1, le=5000)] | Literal["auto"], ONE_MESSAGE] = Field(
        default="auto",
        description="Passes over the training slices. With auto, training ends early when other slices no longer improve.",
    )
    learning_rate: Annotated[Annotated[float, Field(gt=0.0, le=0.1)] | Literal["auto"], ONE_MESSAGE] = Field(
        default="auto",
        description="Highest step size of the optimiser. With auto, short trainings choose among three that suit the network.",
    )
    probability_threshold: Annotated[
        Annotated[float, Field(ge=-10.0, le=10.0)] | Literal["auto"], ONE_MESSAGE
    ] = Field(
        default="auto",
        description="Logit above which pixels belong to objects. With auto, the slices for choosing decide; process takes the "
        "same value as probability_threshold.",
    )
    flow_smoothing: Annotated[Annotated[float, Field(ge=0.0, le=10.0)] | Literal["auto"], ONE_MESSAGE] = (
        Field(
            default="auto",
            description="Gaussian smoothing of the flows in pixels. With auto, the slices for choosing decide; process takes the "
            "same value as flow_smoothing.",
        )
    )
    min_pixels: Annotated[Annotated[int, Field(ge=1, le=10**6)] | Literal["auto"], ONE_MESSAGE] = Field(
        default="auto",
        description="Objects with fewer pixels in a slice are dropped. With auto, the slices for choosing decide between sizes "
        "that are hardly ever labelled.",
    )
    contact_gap: bool = Field(
        default=False,
        description="Teach the network that pixels where two objects touch are background.",
    )
    scale_range: float = Field(
        default=0.5,
        ge=0.0,
        le=1.5,
        description="Crops are shrunk or enlarged at random by up to half of this fraction.",
    )
    contrast_range: float = Field(
        json_schema_extra=EXPERT,
        default=0.4,
        ge=0.0,
        le=1.0,
        description="Gain, offset and gamma of crops change at random by up to this (natural logarithm); 0 leaves them.",
    )
    inversion: bool = Field(
        json_schema_extra=EXPERT,
        default=False,
        description="Invert half of the crops, for a network that is to see both signs of contrast.",
    )
    noise: float = Field(
        json_schema_extra=EXPERT,
        default=0.08,
        ge=0.0,
        le=1.0,
        description="Highest standard deviation of the noise added to crops; 1 is from black to white.",
    )
    blur_px: float = Field(
        json_schema_extra=EXPERT,
        default=1.2,
        ge=0.0,
        le=4.0,
        description="Widest Gaussian blur of crops in pixels; three in ten crops are blurred.",
    )
    elastic_px: float = Field(
        json_schema_extra=EXPERT,
        default=2.5,
        ge=0.0,
        le=20.0,
        description="Largest standard deviation of the elastic deformation of crops in pixels.",
    )
    missing_fraction: float = Field(
        json_schema_extra=EXPERT,
        default=0.05,
        ge=0.0,
        le=1.0,
        description="Fraction of crops that lose a block, or lines as of a missing slice.",
    )
    batch_size: Annotated[Annotated[int, Field(ge=1, le=256)] | Literal["auto"], ONE_MESSAGE] = Field(
        json_schema_extra=EXPERT,
        default="auto",
        description="Crops in one training step; auto takes 1 for Cellpose-SAM and 3 of 256 pixels for a compact network.",
    )
    crop_px: Annotated[
        Annotated[int, Field(ge=64, le=1024, multiple_of=16)] | Literal["auto"], ONE_MESSAGE
    ] = Field(
        json_schema_extra=EXPERT,
        default="auto",
        description="Side of the crops in pixels; auto takes 256, which Cellpose-SAM needs, or less for smaller slices.",
    )
    weight_decay: float = Field(
        json_schema_extra=EXPERT, default=0.01, ge=0.0, le=10.0, description="Weight decay of the optimiser."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the split of the slices, and of the crops.")

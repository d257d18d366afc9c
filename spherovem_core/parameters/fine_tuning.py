"""Parameters of cutting slices for labelling, and of training on them."""

from typing import Literal

from pydantic import Field

from spherovem_core.parameters.base import PositiveNm, StageParameters


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
        description="Slices in each of the three planes xy, xz and yz, where they are spread.",
    )
    slice_count: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Slices in all three planes together, where they are chosen by uncertainty.",
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
    normalise_percentiles: tuple[float, float] = Field(
        default=(1.0, 99.0),
        description="Intensity percentiles of the volume that the network will see as 0 and 1, kept with each slice.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the positions at which slices are cut.")


class FineTuningParameters(StageParameters):
    """Training of a segmentation network on labelled slices."""

    kind: Literal["cells", "nuclei"] = Field(
        default="cells", description="Kind of objects that the labels of the slices show."
    )
    network: str = Field(
        default="cpsam_v2",
        min_length=1,
        description="Network to start from: cpsam_v2, another name cellpose knows, a path to weights, em-compact or "
        "phantom-compact.",
    )
    flow_spacing_nm: PositiveNm = Field(
        default=100.0,
        description="Pixel size of the slices in nm: the flow_spacing_nm at which the network will see volumes.",
    )
    normalise_percentiles: tuple[float, float] = Field(
        default=(1.0, 99.0),
        description="Intensity percentiles that become 0 and 1 in slices whose file does not give them.",
    )
    held_out_fraction: float = Field(
        default=0.2,
        ge=0.05,
        le=0.5,
        description="Fraction of each plane's slices that are kept for evaluation and not used for training.",
    )
    epochs: int = Field(default=100, ge=1, le=5000, description="Passes over the training slices.")
    batch_size: int = Field(default=1, ge=1, le=256, description="Crops in one training step.")
    crop_px: int = Field(
        default=256,
        ge=64,
        le=1024,
        multiple_of=16,
        description="Side of the crops used for training in pixels; Cellpose-SAM needs 256.",
    )
    scale_range: float = Field(
        default=0.5,
        ge=0.0,
        le=1.5,
        description="Crops are shrunk or enlarged at random by up to half of this fraction.",
    )
    learning_rate: float = Field(
        default=1e-5, gt=0.0, le=0.1, description="Step size of the optimiser; 1e-5 suits Cellpose-SAM."
    )
    weight_decay: float = Field(default=0.1, ge=0.0, le=10.0, description="Weight decay of the optimiser.")
    seed: int = Field(default=0, ge=0, description="Seed of the split into training and held-out slices.")

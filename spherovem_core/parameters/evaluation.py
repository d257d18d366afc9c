"""Parameters of the comparison of a segmentation with its truth."""

from pydantic import Field

from spherovem_core.parameters.base import StageParameters


class EvaluationParameters(StageParameters):
    """Comparison of a segmentation with its truth."""

    match_iou: float = Field(
        default=0.5,
        ge=0.5,
        le=1.0,
        description="Smallest intersection over union at which two objects are the same.",
    )
    min_diameter_um: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Objects of a smaller equivalent diameter count neither for nor against.",
    )
    min_piece_fraction: float = Field(
        default=0.1,
        ge=0.0,
        le=0.5,
        description="An object is split by a piece, or merged as a part, that makes up at least this fraction of the whole.",
    )
    boundary_error: bool = Field(
        default=True,
        description="Measure how far the surfaces of matched objects lie apart; takes most of the time.",
    )

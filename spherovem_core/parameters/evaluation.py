"""Parameters of the comparison of a segmentation with its truth."""

from itertools import pairwise

from pydantic import Field, field_validator

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
    size_limits_um3: list[float] = Field(
        default=[],
        description="Volumes in µm³ between classes of size, rising; without any, up to four classes hold about as many true "
        "objects each.",
    )
    worst_errors: int = Field(
        default=4,
        ge=0,
        le=50,
        description="Number of the largest mergers, and of the largest splits, that are listed and drawn.",
    )
    boundary_error: bool = Field(
        default=True,
        description="Measure how far the surfaces of matched objects lie apart; takes most of the time.",
    )

    @field_validator("size_limits_um3")
    @classmethod
    def _limits_rise(cls, limits: list[float]) -> list[float]:
        if not all(low < high for low, high in pairwise([0.0, *limits])):
            raise ValueError(
                f"limits are {limits}; expected positive volumes, each larger than the one before"
            )
        return limits

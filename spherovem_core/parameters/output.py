"""Parameters of the stage output."""

from pydantic import Field

from spherovem_core.parameters.base import EXPERT, StageParameters


class OutputParameters(StageParameters):
    """Tables and report."""

    report_image_px: int = Field(
        json_schema_extra=EXPERT,
        default=900,
        ge=200,
        le=4000,
        description="Longest side in pixels of an image in the report.",
    )

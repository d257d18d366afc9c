"""``spherovem cut-slices``: slices of a processed acquisition, to be labelled by hand."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg

from deployments.command_line.arguments import Command
from spherovem_core.parameters import SliceCuttingParameters


class CutSlices(Command, SliceCuttingParameters):
    """Cut slices for labelling from a processed acquisition.

    The slices lie in three planes and have the network's resolution.
    """

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem cut-slices results/spheroid_07 slices/", "slices to label by hand"),
    )

    acquisition: CliPositionalArg[Path] = Field(description="The acquisition's results folder.")
    out: CliPositionalArg[Path] = Field(
        description="Folder for the slices; their labels go to OUT/labels/NAME-cells.tif or NAME-nuclei.tif."
    )

    def cli_cmd(self) -> None:
        """Cut the slices that do not exist yet."""
        from tasks.finetune_slices import cut_slices_of

        parameters = SliceCuttingParameters.model_validate(
            self.model_dump(include=set(SliceCuttingParameters.model_fields))
        )
        written, kept = cut_slices_of(self.acquisition, self.out, parameters)
        print(f"slices: {self.out} ({written} written, {kept} existed)")
        print(
            f"label them as {self.out / 'labels' / 'NAME-cells.tif'} (or -nuclei), 0 for background, then run"
        )
        print(f"  spherovem finetune {self.out} OUT --flow-spacing-nm {parameters.flow_spacing_nm:g}")

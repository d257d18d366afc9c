"""``spherovem cut-slices``: slices of a processed acquisition, to be labelled by hand."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliVariadicArg

from deployments.command_line.arguments import Command
from spherovem_core.parameters import SliceCuttingParameters
from spherovem_core.parameters.base import Percentiles


class CutSlices(Command, SliceCuttingParameters):
    """Cut slices for labelling from a processed acquisition.

    The slices lie in three planes and have the network's resolution. Labelling starts from the predicted labels, which are
    written beside them.
    """

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem cut-slices results/spheroid_07 slices/ --places uncertain",
            "ten slices to label by hand",
        ),
        (
            "spherovem cut-slices results/spheroid_07 slices/ --from-corrections",
            "slices through corrected objects, with their labels",
        ),
    )

    acquisition: CliPositionalArg[Path] = Field(description="The acquisition's results folder.")
    out: CliPositionalArg[Path] = Field(
        description="Folder for the slices; their labels go to OUT/labels/NAME-cells.tif or NAME-nuclei.tif."
    )

    from_corrections: bool = Field(
        default=False,
        description="Cut through corrected objects, where the segmentation was most uncertain; their labels are taken over.",
    )
    normalise_percentiles: CliVariadicArg[Percentiles] = Field(
        default=(1.0, 99.0),
        description=SliceCuttingParameters.model_fields["normalise_percentiles"].description,
    )

    def cli_cmd(self) -> None:
        """Cut the slices that do not exist yet."""
        from tasks.finetune_slices import cut_slices_of

        parameters = SliceCuttingParameters.model_validate(
            self.model_dump(include=set(SliceCuttingParameters.model_fields))
        )
        written, kept = cut_slices_of(self.acquisition, self.out, parameters, self.from_corrections)
        print(f"slices: {self.out} ({written} written, {kept} existed)")
        labels = self.out / "labels" / f"NAME-{parameters.kind}.tif"
        if self.from_corrections:
            print(f"look at the labels of objects that nobody corrected in {labels}, then run")
        else:
            print(f"correct the predicted labels in {labels} (0 is background) and save each file, then run")
        planes = "" if parameters.planes == "all" else f" --planes {parameters.planes}"
        spacing = f"--flow-spacing-nm {parameters.flow_spacing_nm:g}"
        print(f"  spherovem finetune {self.out} OUT --kind {parameters.kind} {spacing}{planes}")

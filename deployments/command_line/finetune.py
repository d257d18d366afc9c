"""``spherovem finetune``: training of a network on labelled slices."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg

from deployments.command_line.arguments import Command, Device, Workers, reading_arguments
from deployments.command_line.text_tables import text_table
from deployments.run_parameters import network_parameter
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.references import FineTuningFolders


class Finetune(Command, FineTuningParameters):
    """Train a network on labelled slices.

    Give the resulting weights to process as its --network.
    """

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem finetune slices/ networks/mine", "weights in networks/mine/weights.pt"),
    )

    slices: CliPositionalArg[Path] = Field(
        description="Folder of slices NAME.tif with labels/NAME-cells.tif or labels/NAME-nuclei.tif."
    )
    out: CliPositionalArg[Path] = Field(
        description="Folder for weights.pt, its manifest, scores and pictures."
    )
    volume: Path | None = Field(
        default=None,
        description="Results folder of the acquisition from which the slices were cut; boundaries and merging of objects in 3D "
        "are learned there.",
    )
    device: Device = Field(default="auto", description="auto, cpu, cuda or cuda:n.")
    workers: Workers | None = Field(default=None, description="Threads; every core by default.")

    def cli_cmd(self) -> None:
        """Check the slices, train, and print scores and paths."""
        with reading_arguments():
            execution = ExecutionSettings(device=self.device, workers=self.workers)
        parameters = FineTuningParameters.model_validate(
            self.model_dump(include=set(FineTuningParameters.model_fields))
        )
        from tasks.finetune import check_before_training

        check_before_training(self.slices, parameters, execution)
        if self.volume is not None:
            from tasks.learn_merging import check_before_merging

            check_before_merging(self.slices, self.volume, parameters)
        from flows.finetune_segmentation import finetune_segmentation

        folders = FineTuningFolders(
            slices=self.slices.absolute(),
            out=self.out.absolute(),
            volume=None if self.volume is None else self.volume.absolute(),
        )
        manifest = finetune_segmentation(folders, parameters, execution)
        print(format_manifest(manifest))
        print(f"weights:  {self.out / 'weights.pt'}")
        print(f"manifest: {self.out / 'manifest.json'}")
        if "merging" in manifest:
            print(format_merging(manifest["merging"]))
        print(
            f"use them with --set {network_parameter(parameters.kind)}={self.out.absolute() / 'weights.pt'}"
        )


SCORES = (
    ("precision", "precision"),
    ("recall", "recall"),
    ("F1", "f1"),
    ("average precision", "average_precision"),
    ("panoptic quality", "panoptic_quality"),
    ("boundary error, mean (nm)", "boundary_mean_nm"),
)


def format_manifest(manifest: dict[str, Any]) -> str:
    """List the scores of the held-out slices before and after training."""
    before, after = manifest["figures_before"], manifest["figures_after"]
    rows = [[title, _number(before[name]), _number(after[name])] for title, name in SCORES]
    titles = [f"{len(manifest['held_out'])} held-out slices, IoU 0.5", "before", "after"]
    return f"\n{text_table(titles, rows, right=(1, 2))}\n"


def format_merging(merging: dict[str, Any]) -> str:
    """Tell what was learned about merging."""
    return (
        f"merging:  learned from {merging['contacts']} contacts, {merging['different']} of different objects; objects are merged "
        f"up to {merging['strongest']:g}\n          variation of information in slices left out, split + merge: "
        f"{merging['voi_split_bits']:.2f} + {merging['voi_merge_bits']:.2f} bits"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

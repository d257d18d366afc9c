"""``spherovem finetune``: training of a network on labelled slices."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliVariadicArg

from deployments.command_line.arguments import BadArgumentsError, Command, Device, Workers, reading_arguments
from deployments.command_line.text_tables import text_table
from deployments.run_parameters import network_parameter
from deployments.server.embedded import prepare_run
from spherovem_core.execution import ExecutionSettings
from spherovem_core.object_kinds import OBJECT_KINDS
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.parameters.base import Percentiles
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
        description="Folder of slices NAME.tif with labels/NAME-cells.tif (or -nuclei, or another kind); optionally "
        "labels/NAME-cells-unknown.tif, not 0 where nobody has labelled."
    )
    out: CliPositionalArg[Path] = Field(
        description="Folder for weights.pt, its manifest, scores and pictures."
    )
    volume: Path | None = Field(
        default=None,
        description="Results folder of the acquisition from which the slices were cut; boundaries and merging of objects in 3D "
        "are learned there.",
    )
    labels_3d: str | None = Field(
        default=None,
        description="Labels in 3D of a part of that volume, which choose the parameters of masks; any format of evaluate, on the "
        "grid of the registered image, 0 where nobody has labelled.",
    )
    normalise_percentiles: CliVariadicArg[Percentiles] = Field(
        default=(1.0, 99.0),
        description=FineTuningParameters.model_fields["normalise_percentiles"].description,
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
        folders = FineTuningFolders(
            slices=self.slices.absolute(),
            out=self.out.absolute(),
            volume=None if self.volume is None else self.volume.absolute(),
            labels_3d=self.labels_3d,
        )
        from tasks.finetune import check_before_training

        check_before_training(self.slices, parameters, execution)
        if self.volume is not None:
            from tasks.learn_merging import check_before_merging

            check_before_merging(self.slices, self.volume, parameters)
        if self.labels_3d is not None:
            if self.volume is None:
                raise BadArgumentsError(
                    "--labels-3d needs the results folder in which the labels lie; give it with --volume"
                )
            from tasks.tune_masks import check_before_tuning

            check_before_tuning(folders, parameters)
        prepare_run()
        from flows.finetune_segmentation import finetune_segmentation

        manifest = finetune_segmentation(folders, parameters, execution)
        print(format_manifest(manifest))
        print(f"weights:  {self.out / 'weights.pt'}")
        print(f"manifest: {self.out / 'manifest.json'}")
        if "merging" in manifest:
            print(format_merging(manifest["merging"]))
        if "masks" in manifest:
            print(format_masks(manifest["masks"]))
        print(f"use them with {usage(manifest, self.out.absolute() / 'weights.pt')}")


SCORES = (
    ("precision", "precision"),
    ("recall", "recall"),
    ("F1", "f1"),
    ("average precision", "average_precision"),
    ("panoptic quality", "panoptic_quality"),
    ("boundary error, mean (nm)", "boundary_mean_nm"),
)


def usage(manifest: dict[str, Any], weights: Path) -> str:
    """Return the options by which ``spherovem process`` uses a network."""
    from spherovem_core.segmentation.fine_tuning.mask_tuning import diameter_um

    kind = manifest["parameters"]["kind"]
    # A kind of another name has no step of its own; its network runs in the place of cells.
    network = network_parameter(kind if kind in OBJECT_KINDS else OBJECT_KINDS[0])
    group, chosen, pixel_nm = (
        network.removesuffix("network"),
        manifest["chosen"],
        manifest["parameters"]["flow_spacing_nm"],
    )
    tuned = {
        "probability_threshold": chosen["probability_threshold"],
        "flow_smoothing": chosen["flow_smoothing"],
        "min_diameter_um": float(f"{diameter_um(chosen['min_pixels'], pixel_nm):.3g}"),
        **manifest.get("masks", {}).get("values", {}),
    }
    # The file of the merging model holds its own.
    tuned.pop("strongest", None)
    values = {"network": str(weights), "flow_spacing_nm": f"{pixel_nm:g}"}
    values |= {name: f"{value:g}" for name, value in tuned.items()}
    planes = manifest["parameters"].get("planes", "all")
    if planes != "all":
        values["planes"] = planes
    return " ".join(f"--set {group}{name}={value}" for name, value in values.items())


def format_manifest(manifest: dict[str, Any]) -> str:
    """List the scores of the held-out slices before and after training, and what other slices chose."""
    before, after = manifest["figures_before"], manifest["figures_after"]
    rows = [[title, _number(before[name]), _number(after[name])] for title, name in SCORES]
    titles = [f"{len(manifest['held_out'])} held-out slices, IoU 0.5", "before", "after"]
    return f"\n{text_table(titles, rows, right=(1, 2))}\n\n{_choice(manifest)}\n"


def _choice(manifest: dict[str, Any]) -> str:
    chosen, count = manifest["chosen"], len(manifest["choice"])
    what = (
        f"learning rate {chosen['learning_rate']:g}, epoch {chosen['epoch']} of {chosen['recipe']['epochs']}, "
        f"probability threshold {chosen['probability_threshold']:g}, flow smoothing {chosen['flow_smoothing']:g}, smallest "
        f"object {chosen['min_pixels']} pixels"
    )
    if not count:
        return f"{what}: too few slices to choose by, the weights are those of the last epoch"
    other = "1 other slice" if count == 1 else f"{count} other slices"
    return f"{what}: chosen or confirmed by {other}, on which F1 is {chosen['f1']:.3f} (no fair test)"


def format_merging(merging: dict[str, Any]) -> str:
    """Tell what was learned about merging."""
    return (
        f"merging:  learned from {merging['contacts']} contacts, {merging['different']} of different objects; objects are merged "
        f"up to {merging['strongest']:g}\n          variation of information in slices left out, split + merge: "
        f"{merging['voi_split_bits']:.2f} + {merging['voi_merge_bits']:.2f} bits"
    )


def format_masks(masks: dict[str, Any]) -> str:
    """Tell what the labels in 3D chose, and how well it holds where they chose nothing."""
    values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in masks["values"].items())
    before, after = masks["stated"]
    return (
        f"masks:    {values}: chosen by {masks['objects'][0]} objects in one half of the labelled box\n"
        f"          in the other half, {masks['objects'][1]} objects, F1 {after['f1']:.3f} ({before['f1']:.3f} before), "
        f"variation of information {after['voi_bits']:.2f} bits ({before['voi_bits']:.2f})"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

"""``spherovem labels import``: labels that were edited in another program."""

import json
import math
import sys
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag, CliVariadicArg

from deployments.command_line.arguments import BadArgumentsError, checked_spacing, reading_arguments
from deployments.command_line.labels.arguments import RunAfterwards
from deployments.command_line.labels.texts import effect
from spherovem_core.execution import ExecutionSettings

if TYPE_CHECKING:
    from spherovem_core.corrections.label_import import LabelImport
    from spherovem_core.store import Layout


class ImportLabels(RunAfterwards):
    """Import labels that were edited in another program, and measure again.

    The file is TIFF, OME-TIFF, OME-Zarr, a webKnossos dataset, NIfTI, npy, npz or MRC, on the grid of a level of the labels, or
    with a voxel size and offset of its own. Objects are recognised by their voxels, whatever their numbers. What differs is
    shown, and becomes operations in the journal of corrections.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem labels import spheroid_07 cells.nii.gz --kind cells --results-root results/ --dry-run",
            "what the file would change",
        ),
        (
            "spherovem labels import spheroid_07 cells.nii.gz --kind cells --results-root results/ --yes",
            "change it, without a question",
        ),
        (
            "spherovem labels import spheroid_07 part.tif --kind nuclei --spacing-nm 50 20 20 --offset-um 2.5 0 10",
            "a part of the volume; the offset is the centre of its first voxel",
        ),
        (
            "spherovem labels import spheroid_07 stardist.tif --kind nuclei --as-labels",
            "a segmentation of another program instead of the present one",
        ),
    )

    file: CliPositionalArg[str] = Field(
        min_length=1, description="Label file or folder; FILE.npz:NAME names an array."
    )
    dry_run: CliToggleFlag[bool] = Field(default=False, description="Compare, and change nothing.")
    yes: CliToggleFlag[bool] = Field(default=False, description="Do not ask.")
    json_: CliToggleFlag[bool] = Field(
        default=False, alias="json", description="Print the comparison as JSON."
    )
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[],
        description="Voxel size z y x of the file in nm; by default what it states, or that of the level of its shape.",
    )
    offset_um: CliVariadicArg[list[float]] = Field(
        default=[],
        description="Centre z y x of the file's first voxel in um, in the frame of the tables; by default what the file states.",
    )
    exact: CliToggleFlag[bool] = Field(
        default=False,
        description="Take every voxel of a coarser file as it is, also at borders that only its sampling moved.",
    )
    any_overlap: CliToggleFlag[bool] = Field(
        default=False, description="Accept labels that have almost nothing in common with the present ones."
    )
    as_labels: CliToggleFlag[bool] = Field(
        default=False,
        description="Take the file as the segmentation, with its numbers, instead of correcting the present one.",
    )

    def cli_cmd(self) -> None:
        """Compare, ask, add the operations to the journal, and run what follows."""
        if self.as_labels:
            self._take_as_labels()
            return
        from spherovem_core.corrections.label_import import record_import

        layout = self.layout
        execution = self.check(layout) if not self.dry_run else None
        found = self._compare(layout)
        print(self._shown(found))
        if self.dry_run or execution is None or not found.operations:
            return
        if not self._is_confirmed(
            f"Add {len(found.operations)} operations to the journal, and correct the {self.kind}?"
        ):
            print("nothing was changed")
            return
        entries, outcomes = record_import(layout, found, author=self.author, reason=self.reason)
        if not self.json_:
            for entry, outcome in zip(entries, outcomes, strict=True):
                print(f"{entry.number}  {entry.id}  {effect(outcome)}")
        self.run_flow(layout, execution)

    def _compare(self, layout: "Layout", *, any_overlap: bool = False) -> "LabelImport":
        from flows.import_parameters import ImportParameters
        from flows.imported_labels import compare_labels

        with reading_arguments():
            spacing = checked_spacing(self.spacing_nm) if self.spacing_nm else ()
        self._check_offset()
        given = ImportParameters(
            file=self.file,
            spacing_nm=list(spacing),
            offset_um=self.offset_um,
            exact=self.exact,
            any_overlap=any_overlap or self.any_overlap,
        )
        return compare_labels(layout, self.kind, given, ExecutionSettings(workers=self.workers))

    def _check_offset(self) -> None:
        if self.offset_um and (len(self.offset_um) != 3 or not all(map(math.isfinite, self.offset_um))):
            raise BadArgumentsError(
                f"--offset-um: got {' '.join(f'{place:g}' for place in self.offset_um)}; expected three numbers: the centre of "
                "the file's first voxel along z, y and x in um"
            )

    def _is_confirmed(self, question: str) -> bool:
        """Ask on a terminal; elsewhere, `yes` has to be given."""
        if self.yes:
            return True
        if not sys.stdin.isatty():
            raise BadArgumentsError("nothing was changed: give --yes to go ahead, or --dry-run to look only")
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    def _take_as_labels(self) -> None:
        if self.spacing_nm or self.offset_um:
            raise BadArgumentsError(
                "--as-labels takes voxel size and offset from the file; write them into it, and leave out --spacing-nm and "
                "--offset-um"
            )
        layout = self.layout
        execution = self.check(layout)
        found = self._compare(layout, any_overlap=True)
        print(self._shown(found))
        if self.dry_run:
            return
        if not self._is_confirmed(f"Replace the {self.kind} by those of the file?"):
            print("nothing was changed")
            return
        from flows.import_parameters import ImportParameters

        self.run_flow(layout, execution, ImportParameters(file=self.file, as_labels=True))

    def _shown(self, found: "LabelImport") -> str:
        from deployments.command_line.labels.import_report import import_report

        return json.dumps(found.document(), indent=2) if self.json_ else import_report(found)

"""Arguments that the commands of ``spherovem labels`` share."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.arguments import (
    Command,
    Device,
    Workers,
    reading_arguments,
)
from deployments.command_line.labels.texts import effect
from deployments.command_line.pipeline_run import print_results
from deployments.command_line.results_argument import find_results
from deployments.server.configured import server_is_configured
from deployments.server.embedded import prepare_run
from deployments.settings import read_settings
from spherovem_core.execution import ExecutionSettings

if TYPE_CHECKING:
    from flows.import_parameters import ImportParameters
    from spherovem_core.store import Layout

Kind = Literal["cells", "nuclei", "nanoparticles"]


class LabelsCommand(Command):
    """Base class of a command on the labels of one acquisition."""

    group: ClassVar[str] = "Segmentation and its quality"

    name: CliPositionalArg[str] = Field(
        description="Name of the acquisition below the results root, or its results folder."
    )
    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder per acquisition."
    )

    @property
    def layout(self) -> "Layout":
        """Paths in the results folder.

        Raises
        ------
        BadArgumentsError
            If there is no such results folder.
        """
        return find_results(self.name, self.results_root)


class KindCommand(LabelsCommand):
    """Base class of a command on one kind of object."""

    kind: Kind = Field(description="Kind of object.")


class RunAfterwards(KindCommand):
    """Base class of a command that changes the journal of one kind of object, and then computes what follows."""

    resumable: ClassVar[bool] = True

    author: str = Field(default="", description="Who makes the change; the user of this machine by default.")
    reason: str = Field(default="", description="Why.")
    no_measure: CliToggleFlag[bool] = Field(
        default=False, description="Correct the labels alone; tables and report follow with the next run."
    )
    device: Device | None = Field(default=None, description="auto, cpu, cuda or cuda:n.")
    executor: str | None = Field(
        default=None, description="threads, processes, or the address of a Dask scheduler."
    )
    workers: Workers | None = Field(default=None, description="Workers per stage; every core by default.")

    def check(self, layout: "Layout") -> ExecutionSettings:
        """Check what the run needs before the journal is written, and return its settings."""
        from flows.corrected_run import check_correctable

        check_correctable(layout, measure=not self.no_measure)
        with reading_arguments():
            return read_settings().execution(device=self.device, executor=self.executor, workers=self.workers)

    def run_flow(
        self, layout: "Layout", execution: ExecutionSettings, imported: "ImportParameters | None" = None
    ) -> None:
        """Apply the journal to the labels, and compute what follows.

        It is a flow where a Prefect server is configured, which sees it. Else it runs in this process: to start a server takes
        as long as the measurements.

        Parameters
        ----------
        imported
            Labels that become the segmentation before.
        """
        measure = not self.no_measure
        if server_is_configured():
            from flows.correct_labels import correct_labels
            from flows.import_parameters import ImportParameters

            correct_labels(
                layout.folder.name,
                layout.folder.parent,
                self.kind,
                measure=measure,
                execution=execution,
                imported=imported or ImportParameters(),
            )
        else:
            from flows.corrected_run import run_after_corrections
            from flows.imported_labels import run_with_imported_labels
            from tasks.devices import needs_gpu_slot

            if needs_gpu_slot(execution.device):
                prepare_run()
            if imported is None:
                run_after_corrections(layout, self.kind, execution, measure=measure, without_prefect=True)
            else:
                run_with_imported_labels(
                    layout, self.kind, imported.file, execution, measure=measure, without_prefect=True
                )
        from spherovem_core.corrections import correction_state

        applied = correction_state(layout, self.kind).applied
        for outcome in () if applied is None else applied.not_applied:
            print(f"line {outcome.number} of the journal, {effect(outcome)}")
        if not self.no_measure:
            print_results(layout.folder)

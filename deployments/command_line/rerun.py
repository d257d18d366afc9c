"""``spherovem rerun``: a run with the parameters that an acquisition was last processed with."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.arguments import (
    BadArgumentsError,
    Command,
    Device,
    Verbatim,
    Workers,
    reading_arguments,
)
from deployments.command_line.pipeline_run import print_results, run_flow
from deployments.command_line.results_argument import find_results
from deployments.command_line.text_options import parse_assignment
from deployments.run_parameters import build_parameters, read_overrides
from deployments.server.configured import server_is_configured
from deployments.settings import read_settings
from spherovem_core.execution import ExecutionSettings
from spherovem_core.region_of_interest import crop_acquisition, split_region
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName, stages_between

if TYPE_CHECKING:
    from spherovem_core.parameters import PipelineParameters
    from spherovem_core.references import Acquisition
    from spherovem_core.region_of_interest import RegionOfInterest
    from spherovem_core.store import Layout


class Rerun(Command):
    """Process again with the parameters of the last run.

    Options change single parameters; all others stay as they were. Where a Prefect server is configured, the run is handed
    to the workers of its deployment for runs by hand; else it runs here. The command first lists the complete results that
    the run will replace. Tables and report of before are kept in the folder history of the results.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem rerun spheroid_07 --results-root results/ --set registration.model=rigid",
            "one parameter changed",
        ),
        (
            "spherovem rerun results/spheroid_07 --plan",
            "list what would be replaced, and start nothing",
        ),
    )
    settings: ClassVar[tuple[str, ...]] = ("stage_timeout_s",)

    name: CliPositionalArg[str] = Field(description="Name of the acquisition, or its results folder.")
    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder per acquisition."
    )
    set: list[Verbatim] = Field(
        default=[],
        description="One parameter; may be repeated.",
        json_schema_extra={"metavar": "STAGE.NAME=VALUE"},
    )
    parameters: Path | None = Field(default=None, description="YAML file of parameters that change.")
    device: Device | None = Field(default=None, description="auto, cpu, cuda or cuda:n.")
    workers: Workers | None = Field(default=None, description="Workers per stage; as configured by default.")
    start_at: StageName = Field(
        default=FIRST_STAGE, description="First stage; earlier stages are taken as they are."
    )
    stop_after: StageName = Field(default=LAST_STAGE, description="Last stage.")
    plan: CliToggleFlag[bool] = Field(
        default=False, description="Only list what the run would replace; start nothing."
    )
    form: CliToggleFlag[bool] = Field(
        default=False, description="Print the address of a form in the Prefect UI, filled in; start nothing."
    )

    def cli_cmd(self) -> None:
        """List what will be replaced, then start the run."""
        with reading_arguments():
            layout = find_results(self.name, self.results_root)
            acquisition, roi = recorded_request(layout)
            parameters = self.chosen_parameters(layout)
            stages_between(self.start_at, self.stop_after)
            if self.form and not server_is_configured():
                raise BadArgumentsError("--form: no Prefect server is configured; set PREFECT_API_URL")
            execution = read_settings().execution(device=self.device, workers=self.workers)
        if self.form:
            print(form_address(acquisition, parameters, roi))
            return
        print(foreseen(acquisition, parameters, self.start_at, self.stop_after, roi))
        if self.plan:
            return
        if server_is_configured():
            print(self.hand_over(acquisition, parameters, roi))
            return
        run_flow(acquisition, parameters, execution, self.start_at, self.stop_after, roi)
        print_results(crop_acquisition(acquisition, roi).folder)

    def chosen_parameters(self, layout: "Layout") -> "PipelineParameters":
        """Return the parameters of the last run, under the file, under ``--set``.

        Raises
        ------
        ParameterError
            If one of them is wrong.
        FormatError
            If another version wrote the results.
        """
        from spherovem_core.registry import pipeline_of_results
        from spherovem_core.steps.recorded import recorded_parameters

        recorded = recorded_parameters(layout, pipeline_of_results(layout.folder))
        overrides: list[dict[str, Any]] = [recorded.model_dump(mode="json")]
        if self.parameters is not None:
            overrides.append(read_overrides(self.parameters))
        return build_parameters([*overrides, *(parse_assignment(text) for text in self.set)])

    def hand_over(
        self, acquisition: "Acquisition", parameters: "PipelineParameters", roi: "RegionOfInterest"
    ) -> str:
        """Start a run of the deployment for runs by hand; return a line with its name and address.

        Raises
        ------
        SpheroVemError
            If the server does not answer or has no such deployment.
        """
        from deployments.server.runs_by_hand import start_run

        values: dict[str, Any] = {"start_at": self.start_at, "stop_after": self.stop_after}
        execution = {"device": self.device, "workers": self.workers}
        if given := {name: value for name, value in execution.items() if value is not None}:
            values["execution"] = given
        return start_run(acquisition, parameters, roi, values)


def recorded_request(layout: "Layout") -> tuple["Acquisition", "RegionOfInterest"]:
    """Return the acquisition and the region of results on disk.

    Raises
    ------
    BadArgumentsError
        If no run was ever finished, so that nothing says with which parameters.
    """
    from spherovem_core.steps.recorded import recorded_acquisition

    if not layout.provenance.is_file():
        raise BadArgumentsError(
            f"{layout.folder} was never processed to the end, so that there are no parameters to start from; "
            "use spherovem process SOURCE"
        )
    acquisition = recorded_acquisition(layout)
    name, roi = split_region(acquisition.name)
    return acquisition.model_copy(update={"name": name}), roi


def foreseen(
    acquisition: "Acquisition",
    parameters: "PipelineParameters",
    start_at: StageName,
    stop_after: StageName,
    roi: "RegionOfInterest",
) -> str:
    """Describe the complete results that the run will replace.

    A user who may not write the results folder cannot check the run here; the worker does, before its first step.
    """
    from flows.discarded_steps import checked_demand, withdraw_left_requests
    from flows.finished_steps import take_finished
    from flows.preflight import check_run
    from spherovem_core.errors import SourceNotFoundError, StoreNotWritableError
    from spherovem_core.ingest import locations
    from spherovem_core.registry import pipeline_for
    from spherovem_core.stages import STAGE_NAMES
    from spherovem_core.workflow import RunRequest
    from spherovem_core.workflow.replaced_results import describe_replaced, results_to_replace

    name = crop_acquisition(acquisition, roi).name
    try:
        external = check_run(acquisition, parameters, ExecutionSettings(), start_at, stop_after, roi)
    except SourceNotFoundError as error:
        raise SourceNotFoundError(
            f"the source of the last run, {locations.shown(acquisition.source)}, does not exist: bring it back, or run "
            f"`spherovem process NEW_PLACE --results-root {acquisition.results_root} --name {acquisition.name}` with the "
            "options of that run; a source that was only moved is the same source, and complete results are kept"
        ) from error
    except (StoreNotWritableError, PermissionError) as error:
        return f"{name}: what the run replaces cannot be foreseen here ({error}); its first artifact lists it"
    pipeline = pipeline_for(parameters)
    request = RunRequest(crop_acquisition(acquisition, roi), parameters, roi)
    before = pipeline.of_stages(STAGE_NAMES[: STAGE_NAMES.index(start_at)])
    withdraw_left_requests(pipeline, request)
    taken = take_finished(pipeline, before, request, start_at)
    steps = pipeline.of_stages(stages_between(start_at, stop_after))
    demand, _ = checked_demand(pipeline, request, steps, external, taken)
    if not demand.todo:
        return f"{name}: everything is complete on disk; nothing will be computed or replaced"
    replaced = describe_replaced(results_to_replace(demand.todo)) or "replaces nothing"
    again = [step.title for step in pipeline.steps if step.name in demand.wanted]
    count = len({*demand.wanted, *(plan.step.name for plan in demand.todo)})
    lean = f"; {', '.join(again)} again, whose arrays were discarded (storage: lean)," if again else ""
    return f"{name}: the run computes {count} of {len(pipeline.steps)} steps{lean} and {replaced}"


def form_address(
    acquisition: "Acquisition", parameters: "PipelineParameters", roi: "RegionOfInterest"
) -> str:
    """Return the address of the UI's form, filled in with an acquisition and its parameters."""
    from deployments.server.runs_by_hand import form_of

    return form_of(acquisition, parameters, roi)

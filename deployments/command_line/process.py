"""``spherovem process``: one acquisition, from slices to report."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError
from pydantic_settings import CliPositionalArg, CliVariadicArg

from deployments.command_line.arguments import (
    Command,
    Device,
    Verbatim,
    Workers,
    checked_spacing,
    reading_arguments,
)
from deployments.command_line.own_data import OwnData, check_own_results, read_own_data, with_label_spacing
from deployments.command_line.pipeline_run import print_results, run_flow
from deployments.command_line.text_options import parse_assignment, parse_region
from deployments.run_parameters import build_parameters, read_overrides, with_network
from deployments.settings import Settings, read_settings
from spherovem_core.errors import ParameterError
from spherovem_core.execution import StorageMode
from spherovem_core.overrides import explain
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest, crop_acquisition
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName, stages_between


class Process(Command):
    """Run all stages on one acquisition.

    Finished stages are not computed again: after an interruption or a failure, the same command continues where the
    run stopped.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem process slices/ --results-root results/", "with the daily setting"),
        (
            "spherovem process stack.tif --results-root results/ --spacing-nm 50 10 10",
            "one file of several slices, without voxel size in its metadata",
        ),
        (
            "spherovem process slices/ --results-root results/ --set registration.model=rigid",
            "one parameter changed",
        ),
        (
            "spherovem process aligned/ --results-root results/ --start-at shape --already aligned --labels cells=cells.tif",
            "own aligned slices and own labels",
        ),
    )
    resumable: ClassVar[bool] = True

    source: CliPositionalArg[Path] = Field(
        description="Folder of slices in one file each, one file of several slices, or a folder that is one volume (zarr, N5), "
        "on disk or as a URL; a path inside chooses a dataset."
    )
    results_root: Path | None = Field(
        default=None,
        description="Folder that holds one results folder per acquisition.",
    )
    name: str | None = Field(default=None, description="Name of the results folder; the source's by default.")
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[], description="Voxel size z y x in nm; by default from acquisition.json or the metadata."
    )
    series: str | None = Field(
        default=None,
        description="Series of slices to read where SOURCE holds several, by words of the file names such as InLens.",
        json_schema_extra={"metavar": "NAME"},
    )
    dataset: str | None = Field(
        default=None,
        description="Dataset in a file or folder that holds several, such as volumes/raw; c=0 after it chooses a channel.",
        json_schema_extra={"metavar": "PATH"},
    )
    network: str | None = Field(
        default=None,
        description="Network for cells and nuclei: cpsam_v2, a path to weights, phantom-compact or em-compact.",
    )
    parameters: Path | None = Field(
        default=None, description="YAML file of parameters that differ from the defaults."
    )
    set: list[Verbatim] = Field(
        default=[],
        description="One parameter; may be repeated.",
        json_schema_extra={"metavar": "STAGE.NAME=VALUE"},
    )
    device: Device | None = Field(default=None, description="auto, cpu, cuda or cuda:n.")
    executor: str | None = Field(
        default=None, description="threads, processes, or the address of a Dask scheduler."
    )
    workers: Workers | None = Field(default=None, description="Workers per stage; every core by default.")
    storage: StorageMode | None = Field(
        default=None,
        description="full keeps the denoised image and the flows, which lean (the default) discards when all that is computed "
        "from them is complete, and computes again when something asks for them.",
    )
    start_at: StageName = Field(
        default=FIRST_STAGE,
        description="First stage; earlier stages must be complete on disk, and are taken as they are. With --already or "
        "--labels, it is the first whose result is computed from own data.",
    )
    stop_after: StageName = Field(default=LAST_STAGE, description="Last stage.")
    already: CliVariadicArg[list[Verbatim]] = Field(
        default=[],
        description="What SOURCE is already: denoised, aligned, or both words; it is taken as it is.",
        json_schema_extra={"metavar": "STATE"},
    )
    labels: CliVariadicArg[list[Verbatim]] = Field(
        default=[],
        description="Label files instead of a segmentation, such as cells=FILE nuclei=FILE nanoparticles=FILE; none "
        "leaves a kind out. Other names, such as mitochondria=FILE, get tables of their own.",
        json_schema_extra={"metavar": "KIND=FILE"},
    )
    roi: CliVariadicArg[list[str]] = Field(
        default=[],
        description="Voxels to try parameters on, such as 10:42 100:612 : along z, y and x; the results go to a folder "
        "of their own.",
        json_schema_extra={"metavar": "Z Y X"},
    )

    def cli_cmd(self) -> None:
        """Check all arguments, run the flow, and print the paths of the results."""
        with reading_arguments():
            settings = read_settings()
            own = read_own_data(self.start_at, self.already, self.labels)
            acquisition = self.chosen_acquisition(settings)
            parameters = self.chosen_parameters(settings, own, acquisition)
            execution = settings.execution(
                device=self.device, executor=self.executor, workers=self.workers, storage=self.storage
            )
            stages_between(self.start_at, self.stop_after)
            roi = parse_region(self.roi)
            folder = results_folder(acquisition, roi)
            check_own_results(own, folder)
        run_flow(acquisition, parameters, execution, own.first_stage, self.stop_after, roi)
        print_results(folder)

    def chosen_parameters(
        self, settings: Settings, own: OwnData, acquisition: Acquisition
    ) -> PipelineParameters:
        """Build the parameters: the defaults, under the file, under the options, under ``--set``.

        Raises
        ------
        ParameterError
            If one of them is wrong.
        """
        file = self.parameters or settings.parameters
        overrides: list[dict[str, Any]] = [with_network(settings.network)]
        if file is not None:
            overrides.append(read_overrides(file))
        if self.network is not None:
            overrides.append(with_network(self.network))
        if self.spacing_nm:
            overrides.append({"ingest": {"spacing_nm": checked_spacing(self.spacing_nm)}})
        if self.series:
            overrides.append({"ingest": {"series": self.series}})
        if self.dataset is not None:
            overrides.append({"ingest": {"dataset": self.dataset}})
        overrides.append(own.overrides)
        overrides += [parse_assignment(text) for text in self.set]
        if own.labels:
            overrides = [with_label_spacing(overrides, own, acquisition)]
        return build_parameters(overrides)

    def chosen_acquisition(self, settings: Settings) -> Acquisition:
        """Return the acquisition: source, name and results root, as absolute paths.

        Raises
        ------
        ParameterError
            If no results root is given or the name cannot be used.
        """
        from spherovem_core.ingest.locations import absolute
        from spherovem_core.ingest.source_files import acquisition_name

        results_root = self.results_root or settings.results_root
        if results_root is None:
            raise ParameterError("no results root: give --results-root DIR or set SPHEROVEM_RESULTS_ROOT")
        source = absolute(self.source)
        name = self.name or acquisition_name(source)
        try:
            return Acquisition(name=name, source=source, results_root=results_root.absolute())
        except ValidationError as error:
            raise ParameterError(explain(error, Acquisition)) from error


def results_folder(acquisition: Acquisition, roi: RegionOfInterest) -> Path:
    """Return the results folder of a region of interest.

    Raises
    ------
    ParameterError
        If its name becomes too long.
    """
    try:
        return crop_acquisition(acquisition, roi).folder
    except ValidationError as error:
        raise ParameterError(explain(error, Acquisition)) from error

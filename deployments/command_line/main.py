"""The command line: one class a command, in the order and under the headings that the help shows them."""

import json
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliPositionalArg,
    CliSubCommand,
    CliVariadicArg,
    SettingsConfigDict,
    SettingsError,
)

from deployments.command_line.arguments import BadArgumentsError, Command, Device, Workers, reading_arguments
from deployments.command_line.console import console, ending_in_order
from deployments.command_line.cut_slices import CutSlices
from deployments.command_line.evaluate import Evaluate
from deployments.command_line.export import Export
from deployments.command_line.finetune import Finetune
from deployments.command_line.help import commands_of, help_for
from deployments.command_line.inspect_path import InspectPath
from deployments.command_line.setup import Setup
from deployments.command_line.status import Status
from deployments.command_line.view import View
from deployments.command_line.watch import Watch
from deployments.environment import prepare_environment
from spherovem_core.errors import SpheroVemError
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName

SUCCESS, FAILED, BAD_ARGUMENTS, INTERRUPTED = 0, 1, 2, 130


class Demo(Command):
    """Make a phantom acquisition, process it, compare with the truth."""

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem demo --results-root /tmp/results", "a few minutes on two cores"),
    )
    resumable: ClassVar[bool] = True

    results_root: Path = Field(default=Path("results"), description="Folder for the results.")
    name: str = Field(default="demo", description="Name of the results folder.")
    device: Device = Field(default="auto", description="auto, cpu, cuda or cuda:n.")
    workers: Workers = Field(default=0, description="Workers a stage; 0 takes every core.")

    def cli_cmd(self) -> None:
        """Run the demo."""
        from deployments.command_line.demo import run_demo

        run_demo(self.results_root, self.name, {"device": self.device, "workers": self.workers})


class MakePhantom(Command):
    """Write a phantom acquisition and its truth."""

    group: ClassVar[str] = "Segmentation and its quality"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        (
            "spherovem phantom phantoms/one --shape 64 512 512 --spacing-nm 120 40 40 --seed 3",
            "slices in phantoms/one, the truth in phantoms/one.truth.npz",
        ),
    )

    out: CliPositionalArg[Path] = Field(
        description="Folder for the TIFF slices; the truth goes to OUT.truth.npz."
    )
    shape: CliVariadicArg[list[int]] = Field(default=[64, 512, 512], description="Slices, rows, columns.")
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[120.0, 40.0, 40.0], description="Voxel size z y x in nm."
    )
    seed: int = Field(default=0, ge=0, description="The same seed gives the same acquisition.")

    def cli_cmd(self) -> None:
        """Write the phantom."""
        from deployments.command_line.demo import write_phantom

        with reading_arguments():
            write_phantom(self.out, shape=self.shape, spacing_nm=self.spacing_nm, seed=self.seed)
        print(f"acquisition: {self.out}")


class Process(Command):
    """Run all stages on one acquisition.

    What is finished already is not computed again: the same command after an interruption or a failure goes on
    where the run stopped.
    """

    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem process slices/ --results-root results/", "with the daily setting"),
        (
            "spherovem process stack.tif --results-root results/ --spacing-nm 50 10 10",
            "a multi-page TIFF that does not say its voxel size",
        ),
        (
            "spherovem process slices/ --results-root results/ --set registration.model=rigid",
            "one parameter changed",
        ),
    )
    resumable: ClassVar[bool] = True

    source: CliPositionalArg[Path] = Field(description="Folder of TIFF slices, or one multi-page TIFF.")
    results_root: Path | None = Field(
        default=None,
        description="Folder that holds one results folder an acquisition.",
    )
    name: str | None = Field(default=None, description="Name of the results folder; the source's by default.")
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[], description="Voxel size z y x in nm; by default from acquisition.json or the metadata."
    )
    network: str | None = Field(
        default=None,
        description="Network for cells and nuclei: cpsam_v2, a path to weights, or phantom-compact.",
    )
    parameters: Path | None = Field(
        default=None, description="YAML file of parameters that differ from the defaults."
    )
    set: list[str] = Field(
        default=[],
        description="One parameter; may be repeated.",
        json_schema_extra={"metavar": "STAGE.NAME=VALUE"},
    )
    device: Device | None = Field(default=None, description="auto, cpu, cuda or cuda:n.")
    executor: str | None = Field(
        default=None, description="threads, processes, or a Dask scheduler's address."
    )
    workers: Workers | None = Field(default=None, description="Workers a stage; 0 takes every core.")
    start_at: StageName = Field(
        default=FIRST_STAGE,
        description="First stage; those before must be complete on disk, and are taken as they are.",
    )
    stop_after: StageName = Field(default=LAST_STAGE, description="Last stage.")
    roi: CliVariadicArg[list[str]] = Field(
        default=[],
        description="Voxels to try parameters on, such as 10:42 100:612 : along z, y and x; the results go to a folder "
        "of their own.",
        json_schema_extra={"metavar": "Z Y X"},
    )

    def cli_cmd(self) -> None:
        """Process the acquisition."""
        from deployments.command_line.process import process_source

        process_source(self)


class Report(Command):
    """Write the report of an acquisition again."""

    group: ClassVar[str] = "Look at results"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem report results/spheroid_07", "from what is on disk, with the installed version"),
    )

    acquisition: CliPositionalArg[Path] = Field(description="The acquisition's results folder.")

    def cli_cmd(self) -> None:
        """Write the report."""
        from tasks.output import rewrite_report

        print(f"report: {rewrite_report(self.acquisition)}")


class Spherovem(BaseSettings):
    """From a raw volume electron microscopy acquisition of a tumour spheroid to quantitative tables."""

    model_config = SettingsConfigDict(
        cli_prog_name="spherovem",
        cli_kebab_case=True,
        cli_exit_on_error=False,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        env_prefix="SPHEROVEM_COMMAND_LINE_",
    )

    demo: CliSubCommand[Demo]
    process: CliSubCommand[Process]
    watch: CliSubCommand[Watch]
    setup: CliSubCommand[Setup]
    status: CliSubCommand[Status]
    inspect: CliSubCommand[InspectPath]
    report: CliSubCommand[Report]
    view: CliSubCommand[View]
    export: CliSubCommand[Export]
    cut_slices: CliSubCommand[CutSlices]
    finetune: CliSubCommand[Finetune]
    evaluate: CliSubCommand[Evaluate]
    phantom: CliSubCommand[MakePhantom]

    def cli_cmd(self) -> None:
        """Run the chosen command."""
        CliApp.run_subcommand(self, cli_exit_on_error=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit code: 0, 1 for a failed run, 2 for bad arguments, 130 for an interrupted run.
    """
    prepare_environment()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough of it, as in `spherovem status | head`. Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    return code


def _run(given: Sequence[str]) -> int:
    if list(given) == ["--version"]:
        print(f"spherovem {version('spherovem')}")
        return SUCCESS
    if given and (text := help_for(Spherovem, given)) is not None:
        print(text)
        return SUCCESS
    told_to_end = threading.Event()
    try:
        with ending_in_order() as told_to_end, console():
            CliApp.run(Spherovem, cli_args=keep_whole(given), cli_exit_on_error=False)
    except SystemExit as leaving:
        return _fail(how_to_go_on(given), INTERRUPTED) if told_to_end.is_set() else int(leaving.code or 0)
    except KeyboardInterrupt:
        return _fail(how_to_go_on(given), INTERRUPTED)
    except BrokenPipeError:
        raise
    except SettingsError as error:
        return _fail(_first_line(error), BAD_ARGUMENTS)
    except ValidationError as error:
        return _fail(_explain_arguments(error), BAD_ARGUMENTS)
    except BadArgumentsError as error:
        return _fail(str(error), BAD_ARGUMENTS)
    except SpheroVemError as error:
        return _fail(str(error), FAILED)
    except Exception as error:
        return _fail(f"{type(error).__name__}: {error}; the whole trace is in the run's log", FAILED)
    return SUCCESS


def how_to_go_on(given: Sequence[str]) -> str:
    """What to tell someone who interrupted a command."""
    command = commands_of(Spherovem).get(given[0]) if given else None
    if command is None or not command.resumable:
        return "interrupted"
    return (
        "interrupted; finished stages and blocks are kept. To go on from there, run the same command again:\n"
        f"  {shlex.join(['spherovem', *given])}"
    )


def keep_whole(arguments: Sequence[str]) -> list[str]:
    """Keep the commas of ``--set`` values, which the parser would split at."""
    kept: list[str] = []
    for argument in arguments:
        name, sign, value = argument.partition("=")
        if kept and kept[-1] == "--set":
            kept.append(json.dumps([argument]))
        elif name == "--set" and sign:
            kept += ["--set", json.dumps([value])]
        else:
            kept.append(argument)
    return kept


def _fail(message: str, code: int) -> int:
    print(f"spherovem: {message}", file=sys.stderr)
    return code


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()[0].removeprefix("error parsing CLI: ").removeprefix("Error: ")
    return f"{text}; see spherovem --help"


def _explain_arguments(error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        words = [str(part).replace("_", "-") for part in item["loc"][1:] if not isinstance(part, int)]
        problems.append(
            f"--{'.'.join(words)}: {item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r}"
        )
    return "; ".join(problems)

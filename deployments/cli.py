"""The command line: ``spherovem demo | phantom | process | report | evaluate | cut-slices | finetune``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

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

from deployments.arguments import BadArgumentsError, Command, Device, Workers, reading_arguments
from deployments.console import console, ending_in_order
from deployments.cut_slices import CutSlices
from deployments.environment import prepare_environment
from deployments.evaluate import Evaluate
from deployments.finetune import Finetune
from spherovem_core.errors import SpheroVemError

SUCCESS, FAILED, BAD_ARGUMENTS = 0, 1, 2


class Demo(Command):
    """Make a phantom acquisition, run all stages on it and compare the results with the truth."""

    results_root: Path = Field(default=Path("results"), description="Folder for the results.")
    name: str = Field(default="demo", description="Name of the results folder.")
    device: Device = Field(default="auto", description="auto, cpu, cuda or cuda:n.")
    workers: Workers = Field(default=0, description="Workers a stage; 0 takes every core.")

    def cli_cmd(self) -> None:
        """Run the demo."""
        from deployments.demo import run_demo

        run_demo(self.results_root, self.name, {"device": self.device, "workers": self.workers})


class MakePhantom(Command):
    """Write a phantom acquisition as a microscope would, and its truth beside the folder."""

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
        from deployments.demo import write_phantom

        with reading_arguments():
            write_phantom(self.out, shape=self.shape, spacing_nm=self.spacing_nm, seed=self.seed)
        print(f"acquisition: {self.out}")


class Process(Command):
    """Run all stages on one acquisition; what is finished already is not computed again."""

    source: CliPositionalArg[Path] = Field(description="Folder of TIFF slices, or one multi-page TIFF.")
    results_root: Path | None = Field(
        default=None,
        description="Folder that holds one results folder an acquisition (or SPHEROVEM_RESULTS_ROOT).",
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
        default=[], description="One parameter, as stage.parameter=value; may be repeated."
    )
    device: Device | None = Field(default=None, description="auto, cpu, cuda or cuda:n.")
    executor: str | None = Field(
        default=None, description="threads, processes, or a Dask scheduler's address."
    )
    workers: Workers | None = Field(default=None, description="Workers a stage; 0 takes every core.")

    def cli_cmd(self) -> None:
        """Process the acquisition."""
        from deployments.process import process_source

        process_source(self)


class Report(Command):
    """Write the report of a processed acquisition again."""

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
    phantom: CliSubCommand[MakePhantom]
    process: CliSubCommand[Process]
    report: CliSubCommand[Report]
    evaluate: CliSubCommand[Evaluate]
    cut_slices: CliSubCommand[CutSlices]
    finetune: CliSubCommand[Finetune]

    def cli_cmd(self) -> None:
        """Run the chosen command."""
        CliApp.run_subcommand(self, cli_exit_on_error=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for a failed run, 2 for bad arguments."""
    prepare_environment()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with ending_in_order(), console():
            CliApp.run(Spherovem, cli_args=keep_whole(given), cli_exit_on_error=False)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    except KeyboardInterrupt:
        return _fail("interrupted; finished stages and blocks are kept", 130)
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


if __name__ == "__main__":
    sys.exit(main())

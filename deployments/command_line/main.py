"""The program: its options, and the exit code of every outcome."""

import math
import os
import sys
import threading
from collections.abc import Mapping, Sequence

from pydantic import ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    CliApp,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from deployments.command_line.arguments import BadArgumentsError, Command, shield
from deployments.command_line.commands import command_fields, commands_of, load_commands
from deployments.command_line.console import console
from deployments.command_line.help import help_for
from deployments.command_line.interruption import ending_in_order, resume_hint
from deployments.environment import prepare_environment
from spherovem_core.errors import (
    RemoteAccessError,
    RemoteSourceError,
    SourceNotFoundError,
    SpheroVemError,
)
from spherovem_core.overrides import RENAMED
from spherovem_core.utils.disk_refusals import DISK_REFUSES
from spherovem_core.utils.source_version import program_version

GATHERING, GATHERED = "process", ("--labels", "--already")
"""Command and its options that take several values."""
NUMBERS = ("--spacing-nm", "--offset-um", "--size-limits-um3", "--normalise-percentiles")
"""Options that take several numbers."""
SUCCESS, FAILED, BAD_ARGUMENTS, INTERRUPTED = 0, 1, 2, 130


class Program(BaseSettings):
    """Base of the program's model; each command is a field of it."""

    model_config = SettingsConfigDict(
        cli_prog_name="spherovem",
        cli_kebab_case=True,
        cli_exit_on_error=False,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take options from the command line alone; variables belong to the settings."""
        return (init_settings,)

    def cli_cmd(self) -> None:
        """Run the chosen command."""
        CliApp.run_subcommand(self, cli_exit_on_error=False)


def build_program(commands: Mapping[str, type[Command]]) -> type[Program]:
    """Return the model that parses the command line of these commands."""
    return create_model("Spherovem", __base__=Program, **command_fields(commands))


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
        # The reader has closed its end, as in `spherovem status | head`. Python would complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    return code


def _run(given: Sequence[str]) -> int:
    if list(given) == ["--version"]:
        print(f"spherovem {program_version()}")
        return SUCCESS
    commands = load_commands()
    if given and (text := help_for(commands, given)) is not None:
        print(text)
        return SUCCESS
    interrupted = threading.Event()
    try:
        with ending_in_order() as interrupted, console():
            CliApp.run(
                build_program(commands), cli_args=plain_numbers(keep_commas(given)), cli_exit_on_error=False
            )
    except SystemExit as leaving:
        if interrupted.is_set():
            return _fail(resume_hint(given, commands), INTERRUPTED)
        return int(leaving.code or 0)
    except KeyboardInterrupt:
        return _fail(resume_hint(given, commands), INTERRUPTED)
    except BrokenPipeError:
        raise
    except SettingsError as error:
        return _fail(_first_line(error), BAD_ARGUMENTS)
    except ValidationError as error:
        return _fail(_explain_arguments(error, commands), BAD_ARGUMENTS)
    except (BadArgumentsError, SourceNotFoundError) as error:
        return _fail(str(error), BAD_ARGUMENTS)
    except (SpheroVemError, RemoteSourceError, RemoteAccessError) as error:
        return _fail(str(error), FAILED)
    except OSError as error:
        if error.errno not in DISK_REFUSES:
            return _fail(_unexpected(error), FAILED)
        return _fail(
            f"{error.filename or 'a file'} could not be written ({error.strerror}); nothing is half-written: free or add disk "
            "space, or make the folder writable, and give the command again",
            FAILED,
        )
    except Exception as error:  # the last resort: one message, not a traceback
        return _fail(_unexpected(error), FAILED)
    return SUCCESS


def _unexpected(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {error}; this is an error in spherovem, please report it with the command"
    )


def keep_commas(arguments: Sequence[str]) -> list[str]:
    """Quote values that the parser would split at their commas: those of ``--set``, and of the options in `GATHERED`.

    Of an option that is given several times, the parser would keep the last; those in `GATHERED` become one.
    """
    kept: list[str] = []
    gathered: dict[str, list[str]] = {}
    current = ""
    for argument in arguments:
        name, sign, value = argument.partition("=")
        current = "" if argument.startswith("--") else current
        if current:
            gathered[current].append(argument)
        elif arguments[0] == GATHERING and name in GATHERED:
            current = name
            gathered.setdefault(name, []).extend([value] if sign else [])
        elif kept and kept[-1] == "--set":
            kept.append(_listed(argument))
        elif name == "--set" and sign:
            kept += ["--set", _listed(value)]
        else:
            kept.append(argument)
    for name, values in gathered.items():
        if not values:
            raise BadArgumentsError(f"{name}: expected at least one value; see spherovem {GATHERING} --help")
        kept += [name, *map(_listed, values)]
    return kept


def _listed(value: str) -> str:
    return f'["{shield(value)}"]'


def plain_numbers(arguments: Sequence[str]) -> list[str]:
    """Write the numbers after options in `NUMBERS` as JSON does: the parser of lists knows neither ``.5`` nor ``050``."""
    written: list[str] = []
    current = ""
    for argument in arguments:
        name, sign, value = argument.partition("=")
        if argument.startswith("--"):
            current = name if name in NUMBERS else ""
            written.append(f"{name}={_plain(name, value)}" if current and sign else argument)
        else:
            written.append(_plain(current, argument) if current else argument)
    return written


def _plain(option: str, text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise BadArgumentsError(f"{option}: got {text}; expected numbers that are finite")
    return repr(number)


def _fail(message: str, code: int) -> int:
    print(f"spherovem: {message}", file=sys.stderr)
    return code


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()[0].removeprefix("error parsing CLI: ").removeprefix("Error: ")
    return f"{text}; see spherovem --help"


def _explain_arguments(error: ValidationError, commands: Mapping[str, type[Command]]) -> str:
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        named = [str(part).replace("_", "-") for part in item["loc"] if not isinstance(part, int)]
        words = named[2:] if commands_of(commands[named[0]]) else named[1:]
        meant = RENAMED.get(str(item["input"])) if item["type"] == "literal_error" else None
        message = item["msg"].removeprefix("Value error, ")
        problems.append(
            f"--{'.'.join(words)}: {message[0].lower()}{message[1:]}, got {item['input']!r}"
            + (f" (since version 0.2 {meant})" if meant else "")
        )
    return "; ".join(problems)

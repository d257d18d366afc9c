"""Base class of the commands, types of common options, and errors in arguments."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from spherovem_core.errors import ParameterError, SpheroVemError
from spherovem_core.spacing import LARGEST_SIDE_NM, SMALLEST_SIDE_NM

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
Workers = Annotated[int, Field(ge=1, le=1024)]
# The parser of lists knows no escape: quotes, backslashes and control characters pass it as characters of a private plane.
_SHIELDED = {code: 0xF0000 + code for code in (*range(32), ord('"'), ord("\\"))}


def shield(text: str) -> str:
    """Replace characters that the parser of lists interprets; `Verbatim` restores them."""
    return text.translate(_SHIELDED)


def _unshield(text: str) -> str:
    return text.translate({there: code for code, there in _SHIELDED.items()})


Verbatim = Annotated[str, AfterValidator(_unshield)]
"""Text in a list of the command line, exactly as it was given."""


class Command(BaseModel):
    """Base class of the commands.

    Its fields are the options, its docstring the description; `cli_cmd` runs it. It is listed in
    `deployments.command_line.commands.COMMANDS`.

    Attributes
    ----------
    group
        Heading under which ``spherovem --help`` lists the command.
    examples
        Command lines and their purpose, shown by the command's help.
    resumable
        True if the same command continues where an interrupted one stopped.
    settings
        Fields of `deployments.settings.Settings` that it reads beside its options, shown as variables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    group: ClassVar[str] = "Process acquisitions"
    examples: ClassVar[tuple[tuple[str, str], ...]] = ()
    resumable: ClassVar[bool] = False
    settings: ClassVar[tuple[str, ...]] = ()

    def cli_cmd(self) -> None:
        """Run the command."""
        raise NotImplementedError


class CommandGroup(Command):
    """Base class of a command that only has commands of its own, such as ``spherovem labels apply``.

    Attributes
    ----------
    commands
        Name of each of them and the class that runs it, as in `deployments.command_line.commands.COMMANDS`. A new one is a
        module and a line. `deployments.command_line.commands.load_commands` turns them into fields.
    """

    commands: ClassVar[Mapping[str, str]] = {}

    def cli_cmd(self) -> None:
        """Run the chosen command."""
        from pydantic_settings import CliApp

        CliApp.run_subcommand(self, cli_exit_on_error=False)


class BadArgumentsError(SpheroVemError, ValueError):
    """The arguments ask for something impossible; nothing was started."""


@contextmanager
def reading_arguments() -> Iterator[None]:
    """Turn each `ParameterError` into a `BadArgumentsError`: the parameter came from the command line or a file it names."""
    try:
        yield
    except ParameterError as error:
        raise BadArgumentsError(str(error)) from error


def checked_spacing(spacing_nm: list[float]) -> tuple[float, float, float]:
    """Return a spacing, and refuse one that is not three positive numbers of a possible size.

    Raises
    ------
    ParameterError
        If it is not.
    """
    if len(spacing_nm) != 3 or not all(side > 0 for side in spacing_nm):
        raise ParameterError(
            f"--spacing-nm: got {' '.join(f'{side:g}' for side in spacing_nm)}; "
            "expected three positive numbers: the voxel size along z, y and x in nm"
        )
    if not all(SMALLEST_SIDE_NM <= side <= LARGEST_SIDE_NM for side in spacing_nm):
        raise ParameterError(
            f"--spacing-nm: got {' '.join(f'{side:g}' for side in spacing_nm)}; expected sizes from {SMALLEST_SIDE_NM:g} to "
            f"{LARGEST_SIDE_NM:g} nm"
        )
    return spacing_nm[0], spacing_nm[1], spacing_nm[2]


def checked_results_folder(folder: Path) -> Path:
    """Return the absolute path of a results folder.

    Raises
    ------
    BadArgumentsError
        If there is no such folder.
    FormatError
        If another version wrote it.
    """
    from spherovem_core.store.format import check_format

    if not folder.is_dir():
        raise BadArgumentsError(f"{folder} is not a folder; name the results folder of an acquisition")
    check_format(folder)
    return folder.absolute()

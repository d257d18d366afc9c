"""What all commands share, and mistakes in what one was asked to do, told apart from runs that fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.errors import ParameterError, SpheroVemError

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
Workers = Annotated[int, Field(ge=0, le=1024)]


class Command(BaseModel):
    """What all commands share.

    Attributes
    ----------
    group
        Heading under which ``spherovem --help`` lists the command.
    examples
        Command lines and what they do, shown by its own help.
    resumable
        Whether the same command goes on where an interrupted one stopped.
    settings
        Fields of `deployments.settings.Settings` that it reads beside its options, shown as variables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: ClassVar[str] = "Process acquisitions"
    examples: ClassVar[tuple[tuple[str, str], ...]] = ()
    resumable: ClassVar[bool] = False
    settings: ClassVar[tuple[str, ...]] = ()


class BadArgumentsError(SpheroVemError, ValueError):
    """The command asks for something that cannot be."""


@contextmanager
def reading_arguments() -> Iterator[None]:
    """A parameter that is wrong in here was given on the command line or in a file it names."""
    try:
        yield
    except ParameterError as error:
        raise BadArgumentsError(str(error)) from error


def checked_spacing(spacing_nm: list[float]) -> tuple[float, float, float]:
    """Refuse a spacing that is not three positive numbers."""
    if len(spacing_nm) != 3 or not all(side > 0 for side in spacing_nm):
        raise ParameterError(
            f"--spacing-nm: got {' '.join(f'{side:g}' for side in spacing_nm)}; "
            "expected three positive numbers: the voxel size along z, y and x in nm"
        )
    return spacing_nm[0], spacing_nm[1], spacing_nm[2]

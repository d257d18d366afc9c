"""Mistakes in what a command was asked to do, told apart from runs that fail."""

from collections.abc import Iterator
from contextlib import contextmanager

from spherovem_core.errors import ParameterError, SpheroVemError


class BadArgumentsError(SpheroVemError, ValueError):
    """The command asks for something that cannot be."""


@contextmanager
def reading_arguments() -> Iterator[None]:
    """A parameter that is wrong in here was given on the command line or in a file it names."""
    try:
        yield
    except ParameterError as error:
        raise BadArgumentsError(str(error)) from error

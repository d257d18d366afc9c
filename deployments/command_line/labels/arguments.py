"""Arguments that the commands of ``spherovem labels`` share."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from deployments.command_line.arguments import (
    BadArgumentsError,
    Command,
    checked_results_folder,
    reading_arguments,
)
from deployments.settings import read_settings
from spherovem_core.store.layout import CorrectedKind, Layout


class LabelsCommand(Command):
    """Base class of a command on the labels of one acquisition."""

    name: CliPositionalArg[str] = Field(
        description="Name of the acquisition below the results root, or its results folder."
    )
    results_root: Path | None = Field(
        default=None, description="Folder that holds one results folder per acquisition."
    )

    @property
    def layout(self) -> Layout:
        """Paths in the results folder.

        Raises
        ------
        BadArgumentsError
            If there is no such results folder.
        """
        with reading_arguments():
            root = self.results_root or read_settings().results_root
        given = Path(self.name)
        folder = given if root is None or (self.results_root is None and given.is_dir()) else root / self.name
        if not folder.is_dir():
            where = (
                "give --results-root DIR or set SPHEROVEM_RESULTS_ROOT" if root is None else f"look in {root}"
            )
            raise BadArgumentsError(f"{folder} is not a results folder; {where}")
        return Layout(checked_results_folder(folder))


class KindCommand(LabelsCommand):
    """Base class of a command on one kind of object."""

    kind: CorrectedKind = Field(description="Kind of object.")

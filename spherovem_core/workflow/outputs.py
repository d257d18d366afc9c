"""Outputs of a step: arrays, tables, documents and files, with their place and their schema."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from spherovem_core.store.columns import Column
from spherovem_core.store.layout import AUTOMATIC, array_path, automatic_group, stage_table_path, table_path

ArrayContent = Literal["image", "label", "field"]


@dataclass(frozen=True)
class ArrayOutput:
    """A multiscale group of the volume.

    Attributes
    ----------
    group
        Its path inside the volume.
    content
        ``image`` and ``field`` are averaged in coarser levels, ``label`` takes the most frequent value.
    types
        Element types that it may have.
    unit
        Unit of a value; empty for a pure number.
    """

    group: str
    content: ArrayContent
    axes: str
    types: tuple[str, ...]
    unit: str
    meaning: str

    @property
    def path(self) -> str:
        """Path of its finest level in the results folder."""
        return array_path(self.group)


@dataclass(frozen=True)
class TableOutput:
    """A Parquet table.

    Attributes
    ----------
    name
        Name of its file.
    row
        Meaning of a row, such as "a cell".
    columns
        Columns that users may rely on; empty for a table that only other steps read.
    published
        True for a final table, ``tables/NAME.parquet``; False for a table for other steps, ``tables/stages/NAME.parquet``.
    """

    name: str
    row: str
    columns: tuple[Column, ...] = ()
    published: bool = False

    @property
    def path(self) -> str:
        """Path in the results folder."""
        return table_path(self.name) if self.published else stage_table_path(self.name)


@dataclass(frozen=True)
class DocumentOutput:
    """A JSON document that carries the digest of its step."""

    path: str
    meaning: str


@dataclass(frozen=True)
class FileOutput:
    """A file that carries no digest; it counts when it exists."""

    path: str
    meaning: str


Output: TypeAlias = ArrayOutput | TableOutput | DocumentOutput | FileOutput


def automatic_output(output: Output) -> Output:
    """Return the output as it is kept beside the corrected one."""
    match output:
        case ArrayOutput():
            return replace(output, group=automatic_group(output.group))
        case TableOutput():
            return TableOutput(f"{output.name}{AUTOMATIC}", output.row)
        case _:
            raise TypeError(f"{output.path} is neither array nor table; corrections change nothing else")

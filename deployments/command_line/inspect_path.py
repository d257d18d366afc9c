"""``spherovem inspect``: the content of a source, a results folder, a volume or a table."""

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag, CliVariadicArg

from deployments.command_line.acquisition_tables import steps_table
from deployments.command_line.arguments import BadArgumentsError, Command, checked_spacing, reading_arguments
from deployments.command_line.inventory_texts import array_text, arrays_table, table_text, tables_table
from deployments.command_line.source_overview import SourceOptions, inspect_source
from spherovem_core.urls import shown

Document = dict[str, Any]


class InspectPath(Command):
    """Show the content of a source, results, volume or table.

    For a source: files, shape, type, voxel size and its origin, gaps and faults. For results: every array with its
    levels, files, size on disk and state, every table, and the history. Values are read only with --pixels and --sheet.
    """

    group: ClassVar[str] = "Look at results"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem inspect slices/", "before processing: check that all slices and a voxel size are there"),
        ("spherovem inspect slices/ --sheet look/", "contact sheet, with intensity and sharpness over z"),
        ("spherovem inspect slices/ --write-description", "an acquisition.json to complete"),
        ("spherovem inspect results/spheroid_07", "arrays, tables and stages of an acquisition"),
        ("spherovem inspect results/spheroid_07/volume.zarr/registered", "one image with its labels"),
        ("spherovem inspect results/spheroid_07/tables/cells.parquet", "columns of a table with their units"),
    )

    path: CliPositionalArg[Path] = Field(
        description="Folder of slices, file of several slices, results folder, zarr group or array, or Parquet table."
    )
    dataset: str | None = Field(
        default=None,
        description="Dataset in a source that holds several, such as volumes/raw.",
        json_schema_extra={"metavar": "PATH"},
    )
    pixels: CliToggleFlag[bool] = Field(
        default=False, description="Read every slice of a source, to find blank, saturated and damaged ones."
    )
    series: str = Field(
        default="", description="Series of slices to look at where the source holds several, such as InLens."
    )
    sheet: Path | None = Field(
        default=None,
        description="Folder for a contact sheet of a source, HTML and PNG: slices spread over the stack, those that stand out "
        "(intensity, sharpness, repeats, jumps), and curves over z. It takes about a minute, however many slices there are.",
    )
    spacing_nm: CliVariadicArg[list[float]] = Field(
        default=[], description="Voxel size z y x in nm, to see whether a run with it would start."
    )
    write_description: CliToggleFlag[bool] = Field(
        default=False,
        description="Write an acquisition.json to complete beside the slices, never over one that is there.",
    )
    json_: CliToggleFlag[bool] = Field(default=False, alias="json", description="Print JSON.")

    def cli_cmd(self) -> None:
        """Print the content."""
        with reading_arguments():
            spacing_nm = checked_spacing(self.spacing_nm) if self.spacing_nm else None
        options = SourceOptions(
            pixels=self.pixels,
            series=self.series,
            dataset=self.dataset,
            sheet=self.sheet,
            write_description=self.write_description,
            spacing_nm=spacing_nm,
        )
        document, text = inspect_path(self.path, options)
        print(json.dumps(document, indent=2, default=str) if self.json_ else text)


def inspect_path(path: Path, options: SourceOptions) -> tuple[Document, str]:
    """Describe a path, as a JSON document and as text for people; the options are for sources.

    Raises
    ------
    BadArgumentsError
        If the path does not exist, or holds the results of several acquisitions; if an option does not fit it.
    SpheroVemError
        If it is none of the things that can be inspected.
    """
    from spherovem_core.ingest.source_files import source_exists
    from spherovem_core.status import is_results_folder
    from spherovem_core.store.nodes import is_own_volume

    if not source_exists(path):
        raise BadArgumentsError(
            f"{shown(path)} does not exist; name a source, a results folder, a volume or a table"
        )

    of_source = (
        options.sheet is not None
        or options.write_description
        or options.pixels
        or bool(options.series)
        or options.spacing_nm is not None
    )
    is_group = (path / "zarr.json").is_file()
    is_results = is_results_folder(path)
    if of_source and (path.suffix == ".parquet" or is_results or (is_group and is_own_volume(path))):
        raise BadArgumentsError(
            f"{path} is a result; --pixels, --series, --sheet, --spacing-nm and --write-description are for sources"
        )
    if path.suffix == ".parquet":
        return inspect_table(path)
    if is_group and options.dataset is None and not of_source and not is_foreign_image(path):
        return inspect_volume(path)
    if is_results:
        return inspect_results(path)
    if path.is_dir() and any(is_results_folder(child) for child in path.iterdir() if child.is_dir()):
        raise BadArgumentsError(
            f"{path} is a results root; list it with 'spherovem status {path}', or name one of its acquisitions"
        )
    return inspect_source(path, options)


def is_foreign_image(path: Path) -> bool:
    """Return whether another program wrote a zarr array of three axes or more, or an OME-Zarr image: a source."""
    from spherovem_core.store.nodes import is_own_volume, read_node

    if is_own_volume(path):
        return False
    if '"multiscales"' in (path / "zarr.json").read_text("utf-8", "replace"):
        return True
    node = read_node(path)
    return node is not None and node["node_type"] == "array" and len(node.get("shape", ())) > 2


def inspect_results(path: Path) -> tuple[Document, str]:
    """Describe a results folder."""
    from spherovem_core.status import acquisition_state
    from spherovem_core.store import Layout
    from spherovem_core.store.format import check_format
    from spherovem_core.store.inventory import volume_inventory
    from spherovem_core.store.table_inventory import tables_inventory

    check_format(path)
    layout = Layout(path.absolute())
    state = acquisition_state(layout.folder)
    arrays = volume_inventory(layout.volume) if (layout.volume / "zarr.json").is_file() else []
    tables = tables_inventory(layout)
    document = {
        "kind": "results",
        "path": str(layout.folder),
        "state": state.document(),
        "arrays": [array.document() for array in arrays],
        "tables": [each.document() for each in tables],
    }
    parts = [steps_table(state), arrays_table(arrays), tables_table(tables)]
    return document, "\n\n".join(part for part in parts if part)


def inspect_volume(path: Path) -> tuple[Document, str]:
    """Describe a zarr group or array; one or two arrays with their levels and history."""
    from spherovem_core.store.inventory import volume_inventory

    arrays = volume_inventory(path.absolute())
    document = {
        "kind": "volume",
        "path": str(path.absolute()),
        "arrays": [array.document() for array in arrays],
    }
    text = "\n\n".join(array_text(array) for array in arrays) if len(arrays) < 3 else arrays_table(arrays)
    return document, text or f"{path} holds no array"


def inspect_table(path: Path) -> tuple[Document, str]:
    """Describe a Parquet table."""
    from spherovem_core.store.table_inventory import table_inventory

    found = table_inventory(path)
    return {"kind": "table", **found.document()}, table_text(path, found)

"""``spherovem inspect``: what is in a source, a results folder, a volume or a table."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from deployments.command_line.arguments import BadArgumentsError, Command
from deployments.command_line.status import moment, percent, stage_table
from deployments.command_line.text_tables import readable_bytes, text_table
from spherovem_core.utils.progress_rate import readable_seconds

if TYPE_CHECKING:
    from spherovem_core.ingest import Survey
    from spherovem_core.store.inventory import ArrayInventory, TableInventory

Document = dict[str, Any]


class InspectPath(Command):
    """Show what is in a source, a results folder, a volume or a table.

    Of a source: files, shape, type, voxel size and where it was found, gaps and faults. Of results: every array with
    its levels, files, size on disk and whether it is whole, every table, and the history. No values are read,
    unless --pixels asks for it.
    """

    group: ClassVar[str] = "Look at results"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem inspect slices/", "before processing: is all there, and which voxel size does it say"),
        ("spherovem inspect results/spheroid_07", "arrays, tables and stages of an acquisition"),
        ("spherovem inspect results/spheroid_07/volume.zarr/registered", "one image with its labels"),
        ("spherovem inspect results/spheroid_07/tables/cells.parquet", "columns of a table with their units"),
    )

    path: CliPositionalArg[Path] = Field(
        description="Folder of TIFF slices, multi-page TIFF, results folder, zarr group or array, or Parquet table."
    )
    pixels: CliToggleFlag[bool] = Field(
        default=False, description="Read every slice of a source, to find blank, saturated and damaged ones."
    )
    json_: CliToggleFlag[bool] = Field(default=False, alias="json", description="Print JSON.")

    def cli_cmd(self) -> None:
        """Print what is there."""
        document, text = inspected(self.path, pixels=self.pixels)
        print(json.dumps(document, indent=2, default=str) if self.json_ else text)


def inspected(path: Path, *, pixels: bool = False) -> tuple[Document, str]:
    """What a path holds, as JSON and for people.

    Raises
    ------
    BadArgumentsError
        If nothing is there, or a folder of several acquisitions' results.
    SpheroVemError
        If it is none of the things that can be inspected.
    """
    if not path.exists():
        raise BadArgumentsError(
            f"{path} does not exist; name a source, a results folder, a volume or a table"
        )
    from spherovem_core.store.states import is_results_folder

    if path.suffix == ".parquet":
        return table(path)
    if (path / "zarr.json").is_file():
        return volume(path)
    if path.is_dir() and is_results_folder(path):
        return results(path)
    if path.is_dir() and any(is_results_folder(child) for child in path.iterdir() if child.is_dir()):
        raise BadArgumentsError(
            f"{path} is a results root; see all of it with: spherovem status {path}, or name one of its acquisitions"
        )
    return source(path, pixels=pixels)


def source(path: Path, *, pixels: bool = False) -> tuple[Document, str]:
    """Describe an acquisition as the microscope wrote it."""
    from spherovem_core.ingest import survey_stack
    from spherovem_core.ingest.checks import content_problems
    from spherovem_core.ingest.problems import problem_lines
    from spherovem_core.parameters import IngestParameters

    survey = survey_stack(path, IngestParameters())
    problems = list(survey.problems)
    if pixels:
        problems += content_problems(survey.stack, {problem.file for problem in problems})
    faults = problem_lines(problems, path.name)
    document = source_document(path, survey, faults)
    return document, source_text(document)


def source_document(path: Path, survey: "Survey", faults: Sequence[str]) -> Document:
    """Facts of a source as JSON."""
    stack = survey.stack
    return {
        "kind": "source",
        "path": str(path.absolute()),
        "files": survey.file_count,
        "bytes": survey.file_bytes,
        "shape": list(stack.shape),
        "dtype": stack.dtype.name,
        "spacing_nm": list(stack.spacing_nm) if any(stack.spacing_nm) else None,
        "spacing_origin": stack.spacing_origin or None,
        "slice_numbers": [stack.numbers[0], stack.numbers[-1]],
        "missing_slices": [n for n, lost in zip(stack.numbers, stack.missing, strict=True) if lost],
        "metadata": dict(stack.metadata),
        "faults": list(faults),
    }


def source_text(document: Document) -> str:
    """Facts of a source for people."""
    metadata = document["metadata"]
    facts = [
        ("files", f"{document['files']} TIFF, {readable_bytes(document['bytes'])}"),
        ("slices", "{} to {}".format(*document["slice_numbers"])),
        ("shape", f"{sides(document['shape'])} voxels (z y x), {document['dtype']}"),
        ("voxel size", "not found" if document["spacing_nm"] is None else spacing(document["spacing_nm"])),
        ("found in", document["spacing_origin"] or "-"),
    ]
    if document["spacing_nm"] is not None:
        extent = [n * side / 1000 for n, side in zip(document["shape"], document["spacing_nm"], strict=True)]
        facts.append(("extent", f"{' x '.join(f'{length:.3g}' for length in extent)} µm"))
    compression = metadata["compression"].replace("none", "no")
    facts += [
        (
            "container",
            f"{metadata['container']}, {compression} compression, {metadata['bits']} bits",
        ),
        ("metadata", metadata["metadata"]),
        ("databar", f"{metadata['databar_rows']} rows" if metadata["databar_rows"] else "none"),
    ]
    faults = [f"  - {fault}" for fault in document["faults"]]
    facts.append(("faults", str(len(faults)) if faults else "none"))
    lines = [f"source {document['path']}", "", *(f"{name:<12}{value}" for name, value in facts), *faults]
    return "\n".join(lines)


def results(path: Path) -> tuple[Document, str]:
    """Describe a results folder."""
    from spherovem_core.store import Layout
    from spherovem_core.store.inventory import tables_inventory, volume_inventory
    from spherovem_core.store.states import acquisition_state

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
    parts = [stage_table(state), arrays_table(arrays), tables_table(tables)]
    return document, "\n\n".join(part for part in parts if part)


def volume(path: Path) -> tuple[Document, str]:
    """Describe a zarr group or array; a single one with its levels and history."""
    from spherovem_core.store.inventory import volume_inventory

    arrays = volume_inventory(path.absolute())
    document = {
        "kind": "volume",
        "path": str(path.absolute()),
        "arrays": [array.document() for array in arrays],
    }
    text = "\n\n".join(array_text(array) for array in arrays) if len(arrays) < 3 else arrays_table(arrays)
    return document, text or f"{path} holds no array"


def table(path: Path) -> tuple[Document, str]:
    """Describe a Parquet table."""
    from spherovem_core.store.inventory import table_inventory

    found = table_inventory(path)
    rows = [[column.name, column.type, column.unit] for column in found.columns]
    head = f"table {path}\n\n{found.rows} rows, {readable_bytes(found.bytes_on_disk)}"
    text = "\n\n".join([head, text_table(["COLUMN", "TYPE", "UNIT"], rows), *history_lines(found.history)])
    return {"kind": "table", **found.document()}, text


def arrays_table(arrays: "Sequence[ArrayInventory]") -> str:
    """One line an array."""
    rows = [
        [
            array.group,
            sides(array.levels[0].shape),
            array.levels[0].dtype,
            " x ".join(f"{side:g}" for side in array.levels[0].spacing_nm or ()),
            str(len(array.levels)),
            readable_bytes(array.bytes_on_disk),
            f"{array.state} {percent(array.share)}".rstrip(),
        ]
        for array in arrays
    ]
    titles = ["ARRAY", "SHAPE", "TYPE", "VOXEL (NM)", "LEVELS", "ON DISK", "STATE"]
    total = sum(array.bytes_on_disk for array in arrays)
    return f"{text_table(titles, rows, right=(4, 5))}\n\n{readable_bytes(total)} in arrays" if rows else ""


def tables_table(tables: "Sequence[TableInventory]") -> str:
    """One line a table."""
    rows = [
        [each.path, str(each.rows), str(len(each.columns)), readable_bytes(each.bytes_on_disk)]
        for each in tables
    ]
    return text_table(["TABLE", "ROWS", "COLUMNS", "ON DISK"], rows, right=(1, 2, 3)) if rows else ""


def array_text(array: "ArrayInventory") -> str:
    """One array with its levels, details and history."""
    first = array.levels[0]
    rows = [
        [
            level.path,
            sides(level.shape),
            "" if level.spacing_nm is None else " x ".join(f"{side:g}" for side in level.spacing_nm),
            sides(level.chunks),
            sides(level.shards),
            str(level.files),
            str(level.missing_files),
            readable_bytes(level.bytes_on_disk),
        ]
        for level in array.levels
    ]
    titles = ["LEVEL", "SHAPE", "VOXEL (NM)", "CHUNK", "FILE HOLDS", "FILES", "MISSING", "ON DISK"]
    facts = [
        f"array {array.group}",
        f"{first.dtype}, {', '.join(first.codecs)}; {array.state} {percent(array.share)}".rstrip(),
    ]
    details = [f"{name}: {short(value)}" for name, value in array.details.items() if name not in OF_A_LEVEL]
    parts = ["\n".join(facts), text_table(titles, rows, right=(5, 6, 7)), "\n".join(details)]
    return "\n\n".join([*(part for part in parts if part), *history_lines(array.history)])


OF_A_LEVEL = ("spacing_nm", "level_factors")


def history_lines(history: Sequence[Any]) -> Iterator[str]:
    """The stages that led to an artifact, as a table."""
    rows = [
        [
            entry["stage"],
            str(entry["version"]),
            entry["device"],
            readable_seconds(entry["seconds"]),
            readable_bytes(entry["peak_memory_bytes"]),
            moment(entry["finished"]),
        ]
        for entry in history
    ]
    if rows:
        titles = ["STAGE", "VERSION", "DEVICE", "TIME", "PEAK MEMORY", "FINISHED"]
        yield text_table(titles, rows, right=(3, 4))


def sides(shape: Sequence[int]) -> str:
    """Extents as people write them."""
    return " x ".join(map(str, shape))


def spacing(spacing_nm: Sequence[float]) -> str:
    """A voxel size as people write it."""
    return f"{' x '.join(f'{side:g}' for side in spacing_nm)} nm (z y x)"


def short(value: Any) -> str:
    """A value in so few characters that a line holds it."""
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= 100 else f"{text[:99]}…"

"""``spherovem export``: results in the formats of other programs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag, CliVariadicArg

from deployments.command_line.arguments import (
    BadArgumentsError,
    Command,
    Workers,
    checked_results_folder,
)
from spherovem_core.execution import ExecutionSettings, Progress, open_executor

if TYPE_CHECKING:
    from spherovem_core.export import ExportTarget, MeshFormat
    from spherovem_core.parameters import ShapeParameters
    from spherovem_core.store import Layout

Kind = Literal["cells", "nuclei", "nanoparticles"]


@dataclass(frozen=True)
class ExportItem:
    """One file or folder of an export.

    Attributes
    ----------
    name
        Its path in the export.
    write
        Function that writes it to a path, and returns a short description of the output.
    """

    name: str
    write: Callable[[Path, Executor, Progress], str]


class Export(Command):
    """Write tables, labels and meshes for other programs.

    Tables become CSV, with a file that gives the unit and meaning of every column. Labels become OME-TIFF with the voxel
    size (uint32; Fiji, napari, Imaris and others read it). Meshes of cells and nuclei are in µm. A file appears when it is
    complete; an existing one is replaced only with --force.
    """

    group: ClassVar[str] = "Look at results"
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("spherovem export results/spheroid_07 --tables --out exported/", "CSV tables"),
        (
            "spherovem export results/spheroid_07 --labels --objects cells --out exported/",
            "label images of cells",
        ),
        (
            "spherovem export results/spheroid_07 --meshes --mesh-format stl --out exported/ --force",
            "surfaces, replacing an earlier export",
        ),
    )

    acquisition: CliPositionalArg[Path] = Field(description="The acquisition's results folder.")
    out: Path = Field(description="Folder for the exported files.")
    tables: CliToggleFlag[bool] = Field(default=False, description="Write the tables as CSV.")
    labels: CliToggleFlag[bool] = Field(default=False, description="Write the labels as OME-TIFF.")
    meshes: CliToggleFlag[bool] = Field(default=False, description="Write the surfaces of cells and nuclei.")
    objects: CliVariadicArg[list[Kind]] = Field(
        default=["cells", "nuclei", "nanoparticles"],
        description="Kinds whose labels and meshes are written.",
        json_schema_extra={"metavar": "KIND ..."},
    )
    level: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Level of the labels' pyramid that is written as TIFF; 0 is the finest.",
    )
    mesh_format: Literal["ply", "obj", "stl"] = Field(
        default="ply", description="Format of meshes; ply carries curvatures at the vertices."
    )
    force: CliToggleFlag[bool] = Field(default=False, description="Replace existing files.")
    workers: Workers | None = Field(default=None, description="Threads; every core by default.")

    def cli_cmd(self) -> None:
        """Check that everything exists and nothing would be replaced, then write."""
        if not (self.tables or self.labels or self.meshes):
            raise BadArgumentsError(
                "nothing to export: give --tables, --labels or --meshes, or several of them"
            )
        folder = checked_results_folder(self.acquisition)
        from spherovem_core.export import ExportTarget
        from spherovem_core.store import Layout

        layout = Layout(folder)
        target = ExportTarget(self.out.absolute(), replace=self.force)
        items = [
            *(table_items(layout) if self.tables else ()),
            *(label_items(layout, self.objects, self.level) if self.labels else ()),
            *(mesh_items(layout, self.objects, self.mesh_format) if self.meshes else ()),
        ]
        target.check([item.name for item in items])
        with target.open(), open_executor(ExecutionSettings(workers=self.workers)) as executor:
            for item in items:
                write_item(item, target, executor)


def write_item(item: ExportItem, target: "ExportTarget", executor: Executor) -> None:
    """Write one item, show its progress, and print its path."""
    from tasks.progress import report_progress

    with target.writing(item.name) as path, report_progress(f"export {item.name}") as progress:
        content = item.write(path, executor, progress)
    print(f"{target.folder / item.name}  ({content})")


def table_items(layout: "Layout") -> Iterator[ExportItem]:
    """List every table of the results, and the units of their columns.

    A table that the version which wrote the results did not have yet is left out, with a line that names it.

    Raises
    ------
    IncompleteArtifactError
        If a table does not exist although the version that wrote the results makes it, or cannot be read.
    """
    from spherovem_core.errors import IncompleteArtifactError
    from spherovem_core.export import write_units
    from spherovem_core.registry import pipeline_of_results
    from spherovem_core.schema import tables
    from spherovem_core.store import table_digest
    from spherovem_core.workflow.earlier_versions import is_of_earlier_version

    pipeline = pipeline_of_results(layout.folder)
    names = {Path(table.path).stem.rpartition("-")[2]: table for table in tables(pipeline)}
    for name, table in list(names.items()):
        if table_digest(layout, table.path) is not None:
            continue
        path = layout.path(table.path)
        if path.exists() or not is_of_earlier_version(layout, pipeline, table):
            state = "cannot be read" if path.exists() else "does not exist"
            raise IncompleteArtifactError(f"{path} {state}; run the acquisition again to compute it")
        del names[name]
        print(
            f"tables/{name}.csv is left out: the results hold no {path.name}, which older versions do not compute; "
            "run the acquisition again to compute it",
            file=sys.stderr,
        )
    paths = {name: layout.path(table.path) for name, table in names.items()}
    for name, path in paths.items():
        yield ExportItem(f"tables/{name}.csv", _csv_writer(path))

    def units(out: Path, executor: Executor, progress: Progress) -> str:
        write_units(paths, {name: table.columns for name, table in names.items()}, out)
        return "unit and meaning of every column"

    yield ExportItem("tables/units.csv", units)


def _csv_writer(parquet: Path) -> Callable[[Path, Executor, Progress], str]:
    from spherovem_core.export import write_csv

    def write(out: Path, executor: Executor, progress: Progress) -> str:
        return f"{write_csv(parquet, out)} rows"

    return write


def label_items(layout: "Layout", kinds: Sequence[Kind], level: int) -> Iterator[ExportItem]:
    """List the labels of each kind, one TIFF per kind.

    Raises
    ------
    IncompleteArtifactError
        If they are not complete.
    BadArgumentsError
        If their pyramid has no such level.
    """
    for kind in kinds:
        yield ExportItem(f"labels/{kind}.ome.tif", _label_writer(layout, kind, level))


def _label_writer(layout: "Layout", kind: Kind, level: int) -> Callable[[Path, Executor, Progress], str]:
    from spherovem_core.export import write_label_tiff
    from spherovem_core.store import open_array
    from spherovem_core.store.layout import REGISTERED

    group = f"{REGISTERED}/labels/{kind}"
    count = len(open_array(layout, group).details["level_factors"])
    if level >= count:
        raise BadArgumentsError(f"--level {level}: {kind} have the levels 0 to {count - 1}")
    labels = open_array(layout, group, level)

    def write(out: Path, executor: Executor, progress: Progress) -> str:
        depth, height, width = labels.array.chunks
        write_label_tiff(
            labels,
            (depth, height, width),
            labels.spacing_nm,
            out,
            name=f"{kind} of {layout.folder.name}",
            executor=executor,
            progress=progress,
        )
        return f"{' x '.join(map(str, labels.shape))} voxels, {labels.dtype}"

    return write


def mesh_items(layout: "Layout", kinds: Sequence[Kind], mesh_format: "MeshFormat") -> Iterator[ExportItem]:
    """List the surfaces of cells and nuclei, one folder per kind.

    Raises
    ------
    IncompleteArtifactError
        If their labels are not complete.
    """
    parameters = shape_parameters(layout)
    for kind in kinds:
        if kind != "nanoparticles":
            yield ExportItem(f"meshes/{kind}", _mesh_writer(layout, kind, mesh_format, parameters))


def _mesh_writer(
    layout: "Layout", kind: Kind, mesh_format: "MeshFormat", parameters: "ShapeParameters"
) -> Callable[[Path, Executor, Progress], str]:
    from spherovem_core.export import write_meshes
    from spherovem_core.store import open_array
    from spherovem_core.store.layout import REGISTERED

    labels = open_array(layout, f"{REGISTERED}/labels/{kind}")

    def write(out: Path, executor: Executor, progress: Progress) -> str:
        count = write_meshes(labels, out, mesh_format, parameters, executor=executor, progress=progress)
        return f"{count} meshes"

    return write


def shape_parameters(layout: "Layout") -> "ShapeParameters":
    """Return the parameters of the shape stage of this acquisition; the defaults where it has not run yet."""
    from spherovem_core.parameters import ShapeParameters
    from spherovem_core.store import read_json

    provenance = read_json(layout.provenance) or {}
    return ShapeParameters.model_validate(provenance.get("parameters", {}).get("shape", {}))

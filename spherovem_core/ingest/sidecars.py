"""Files beside the slices that instruments write: one per slice, or one for all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from spherovem_core.ingest import locations, vendor_texts
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport
from spherovem_core.ingest.source_files import FILE_THREADS, folder_of_slices
from spherovem_core.ingest.vendor_texts import Statement

# Texts of instruments take kilobytes, projects of long runs some megabytes.
MOST_BYTES = 16 * 1024**2
# Sections are imaged at one tilt; a tilt series spans 60 degrees and more.
MOST_TILT = 10.0

PARSERS: dict[str, tuple[Callable[[str], Statement | None], ...]] = {
    ".hdr": (vendor_texts.tescan,),
    ".txt": (vendor_texts.jeol, vendor_texts.hitachi),
    ".mdoc": (vendor_texts.mdoc,),
}
PROJECTS = ("EMproject.emxml", "EMProject.emxml")
SETUP = "Atlas3D.a3d-setup"


@dataclass(frozen=True)
class Sidecars:
    """The files that state something about the slices of an acquisition.

    Attributes
    ----------
    of_slices
        By slice file, its sidecars and what they state.
    of_all
        Files that hold for all slices, and what they state.
    """

    of_slices: Mapping[Path, list[tuple[Path, Statement]]]
    of_all: list[tuple[Path, Statement]]

    @property
    def paths(self) -> list[Path]:
        """All files, each once, in order of their names."""
        own = {path for found in self.of_slices.values() for path, _ in found}
        return sorted(own | {path for path, _ in self.of_all})


def find_sidecars(source: Path, slices: Sequence[Path]) -> Sidecars:
    """Find the files beside the slices that state something about them.

    Taken are, beside ``name.tif``: ``name.hdr`` and ``name-tif.hdr`` of TESCAN, ``name.txt`` of JEOL and Hitachi,
    ``name.tif.mdoc`` and ``name.mdoc`` of SerialEM; for all slices the only ``.mdoc`` of a folder if it names them, the
    ``.a3d-setup`` of Atlas 3D in the folder or as ``Atlas3D.a3d-setup`` above it, and ``EMproject.emxml`` of Auto Slice & View
    in the folder or up to two above it. Files with one of these names that hold something else are not among them.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    folder = folder_of_slices(source)
    beside = {path.name.lower(): path for path in locations.children(folder)[0] if _ending(path)}
    of_slices: dict[Path, list[tuple[Path, Statement]]] = {}
    if beside:

        def read(path: Path) -> list[tuple[Path, Statement]]:
            names = dict.fromkeys(name.lower() for name in _sidecar_names(path))
            return _read_all(beside[name] for name in names if name in beside)

        with ThreadPoolExecutor(FILE_THREADS) as threads:
            every = zip(slices, threads.map(read, slices), strict=True)
            of_slices = {path: found for path, found in every if found}
    return Sidecars(of_slices, _of_all(folder, beside, slices) if folder == source else [])


def with_sidecars(reports: Sequence[FileReport], sidecars: Sidecars) -> list[FileReport]:
    """Add to the reports of files what the sidecars state. Statements about images of another size are left out."""
    added = []
    for report in reports:
        shape = report.slices[0].shape if report.slices else (0, 0)
        found = [*sidecars.of_slices.get(report.path, []), *sidecars.of_all]
        fitting = [statement for _, statement in found if statement.describes(shape)]
        sizes = tuple(each.voxel_size for each in fitting if each.voxel_size.has_values)
        rows = report.databar_rows or max((each.databar_rows(shape) for each in fitting), default=0)
        others = tuple(
            each.told_of_another(shape)
            for _, each in found
            if each.voxel_size.has_values and not each.describes(shape)
        )
        added.append(
            replace(
                report,
                voxel_sizes=(*report.voxel_sizes, *sizes),
                databar_rows=rows,
                left_out=(*report.left_out, *others),
            )
            if found and report.slices and not report.slices[0].fault
            else report
        )
    return [*_of_one_place(added, sidecars), *added[1:]]


def _of_one_place(reports: Sequence[FileReport], sidecars: Sidecars) -> list[FileReport]:
    """Return the first report, with a fault if the images are a tilt series: images of one place, and no slices."""
    every = [*chain.from_iterable(sidecars.of_slices.values()), *sidecars.of_all]
    tilts = [tilt for _, statement in every for tilt in statement.tilts]
    if not tilts or max(tilts) - min(tilts) <= MOST_TILT:
        return list(reports[:1])
    found = (
        f"the mdoc states tilts from {min(tilts):g} to {max(tilts):g} degrees: a tilt series shows one place and has no slices; "
        "give the volume that was reconstructed from it, or move the mdoc away if these are slices"
    )
    return [replace(report, problems=(*report.problems, Problem(found))) for report in reports[:1]]


def _ending(path: Path) -> bool:
    return path.suffix.lower() in (*PARSERS, ".a3d-setup", ".emxml") and not path.name.startswith(".")


def _sidecar_names(path: Path) -> Iterable[str]:
    yield f"{path.stem}.hdr"
    yield f"{path.stem}-{path.suffix[1:]}.hdr"
    yield f"{path.stem}.txt"
    yield f"{path.name}.mdoc"
    yield f"{path.stem}.mdoc"


def _read_all(paths: Iterable[Path]) -> list[tuple[Path, Statement]]:
    found = []
    for path in paths:
        text = _text(path)
        statements = (parse(text) for parse in PARSERS[path.suffix.lower()])
        found += [(path, statement) for statement in statements if statement is not None]
    return found


def _of_all(folder: Path, beside: Mapping[str, Path], slices: Sequence[Path]) -> list[tuple[Path, Statement]]:
    documents = [path for path in beside.values() if path.suffix.lower() == ".mdoc"]
    found = []
    # The only mdoc may also be that of an overview; that of a series of files names them.
    if len(documents) == 1 and len(slices) > 1 and slices[-1].name in _text(documents[0]):
        found += _read_all(documents)
    found += _first(vendor_texts.atlas_setup, _setups(folder, beside))
    # Above a folder on a server lie other people's.
    parents = [] if locations.is_remote(folder) else folder.absolute().parents[:2]
    for level, above in enumerate([folder, *parents]):
        name = None if level == 0 else folder.absolute().name
        project = next((above / each for each in PROJECTS if locations.is_file(above / each)), None)
        statement = project and vendor_texts.slice_and_view_project(_text(project), name)
        if project and statement:
            found.append((project, statement))
            break
    return found


def _setups(folder: Path, beside: Mapping[str, Path]) -> list[Path]:
    own = [path for path in beside.values() if path.suffix.lower() == ".a3d-setup"]
    above = folder.absolute().parent / SETUP
    return own or ([above] if not locations.is_remote(folder) and above.is_file() else [])


def _first(parse: Callable[[str], Statement | None], paths: Sequence[Path]) -> list[tuple[Path, Statement]]:
    """Read the only path; several say nothing."""
    statement = parse(_text(paths[0])) if len(paths) == 1 else None
    return [(paths[0], statement)] if statement else []


def _text(path: Path) -> str:
    return vendor_texts.decode(locations.read_range(path, 0, MOST_BYTES))

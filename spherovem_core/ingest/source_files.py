"""The files of an acquisition: its slice files in order, or the container that holds them, and its description."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from spherovem_core.errors import NoSlicesError, ParameterError, SourceNotFoundError
from spherovem_core.ingest import locations
from spherovem_core.ingest.numbering import natural_key
from spherovem_core.ingest.reader import ContainerReader, Reader
from spherovem_core.ingest.readers import (
    FOLDER_READERS,
    READERS,
    folder_reader_for,
    format_names,
    reader_for,
    usual_suffixes,
)
from spherovem_core.ingest.thumbnails import is_thumbnail, without_thumbnails
from spherovem_core.parameters import IngestParameters
from spherovem_core.urls import holds_credentials

DESCRIPTION = "acquisition.json"
# Opening a file on network storage is latency, not work: more threads than cores.
FILE_THREADS = 8
# Of two formats in a folder, the one with at most this fraction of the other's files holds overviews and the like.
_FEW = 0.25


@dataclass(frozen=True)
class SourceFiles:
    """The slice files of an acquisition.

    Attributes
    ----------
    reader
        Reader of all of them.
    paths
        What the reader takes, in natural order of the names (``slice_9`` before ``slice_10``): files, a folder that is one
        volume, or the path of a dataset inside one of these.
    files
        The files on disk that these paths lie in.
    folder
        The folder that is one volume, if it is one.
    """

    reader: Reader
    paths: tuple[Path, ...]
    files: tuple[Path, ...]
    folder: Path | None = None

    def members(self) -> list[tuple[str, Path]]:
        """List every file whose content makes the acquisition, with the name under which it counts.

        Of a folder that is one volume, these are all files of the wanted dataset, and those beside the groups around it.
        """
        if self.folder is None:
            return [(path.name, path) for path in self.files]
        inside = self.paths[0].relative_to(self.folder).parts
        found = list(locations.files_below(self.files[0]))
        for depth in range(len(inside)):
            group = self.folder.joinpath(*inside[:depth])
            if group.is_relative_to(self.files[0]):
                break
            found += locations.children(group)[0]
        return sorted((path.relative_to(self.folder).as_posix(), path) for path in found)


def find_source_files(source: Path, parameters: IngestParameters | None = None) -> SourceFiles:
    """List the slice files of an acquisition.

    Hidden files (among them the ``._*`` of macOS) and thumbnails are left out; subfolders are not searched, except that a folder
    may hold one folder that is a volume (``volume.zarr``) and no slice.

    Parameters
    ----------
    source
        A folder of slice files, one file of a format that a reader knows, a folder that is one volume, such as a zarr group,
        or the path of a dataset inside one of these; on disk or as a URL.
    parameters
        Parameters of the stage: they may choose a dataset.

    Raises
    ------
    NoSlicesError
        If the source does not exist or holds no file that a reader knows.
    ParameterError
        If a dataset is chosen in a format that has none, or a URL holds credentials.
    OSError
        If the disk or network fails.
    """
    parameters = parameters or IngestParameters()
    _refuse_credentials(source)
    container, inside = split_source(source)
    if not locations.exists(container):
        raise SourceNotFoundError(
            f"{locations.shown(source)} does not exist; expected a folder of slices, or one file of several ({format_names()})"
        )
    if locations.is_folder(container):
        reader, files = _in_folder(container)
    else:
        reader, files = _of_file(container), (container,)
    inside = [*inside, *PurePosixPath(parameters.dataset or "").parts]
    if not isinstance(reader, ContainerReader):
        if inside:
            raise ParameterError(
                f"{'/'.join(inside)} names a dataset, but {reader.name} files hold none; leave out dataset (--dataset)"
            )
        return SourceFiles(reader, files, files)
    if parameters.absent_chunks == "fill":
        reader = reader.filling_absent()
    paths = tuple(path.joinpath(*inside) for path in files)
    if locations.is_folder(files[0]):
        wanted = [*inside]
        while wanted and not locations.is_folder(files[0].joinpath(*wanted)):
            wanted.pop()
        return SourceFiles(reader, paths, (files[0].joinpath(*wanted),), files[0])
    return SourceFiles(reader, paths, files)


def _refuse_credentials(source: Path) -> None:
    if holds_credentials(source):
        raise ParameterError(
            "the URL of the source names a user or has a query, which would be kept in the history; give credentials in the "
            "environment (AWS_PROFILE, AWS_ACCESS_KEY_ID ...)"
        )


def _of_file(path: Path) -> Reader:
    reader = reader_for(path)
    if reader is None:
        raise NoSlicesError(
            f"{locations.shown(path)} is not named as a file of a known format; expected a file ending in "
            f"{usual_suffixes()}, or a folder of them"
        )
    return reader


def split_source(source: Path) -> tuple[Path, list[str]]:
    """Split a source into the file or folder that holds it and the path of a dataset inside.

    The outermost folder of one format counts: ``volume.zarr/0`` is the dataset ``0`` of ``volume.zarr``.
    """
    inside: list[str] = []
    container = source
    # What lies in a file does not exist for the system.
    while not locations.exists(container) and len(container.parts) > 1:
        above = _folder_around(container)
        if above == container:
            break
        inside.insert(0, container.name)
        container = above
    if inside and not (
        isinstance(reader_for(container), ContainerReader)
        if locations.is_file(container)
        else folder_reader_for(container)
    ):
        return source, []
    suffixes = {suffix for reader in FOLDER_READERS for suffix in reader.suffixes}
    for above in reversed(locations.folders_around(container)):
        # Groups of N5 need no mark of their own; the container's name tells.
        if above.suffix.lower() in suffixes and folder_reader_for(above) is not None:
            return above, [*container.relative_to(above).parts, *inside]
    around = _folder_around(container)
    if folder_reader_for(container) is None and folder_reader_for(around) is not None:
        # The folder of a scale, which has no mark of its own either.
        return around, [container.name, *inside]
    while locations.is_folder(container) and (reader := folder_reader_for(container)):
        above = _folder_around(container)
        if above == container or not reader.can_read_folder(above):
            break
        inside.insert(0, container.name)
        container = above
    return container, inside


def source_exists(source: Path) -> bool:
    """Return whether the file or folder of a source is there, on disk or behind its URL; a dataset inside is not looked for.

    Raises
    ------
    ParameterError
        If its URL holds credentials.
    OSError
        If the network fails.
    """
    _refuse_credentials(source)
    return locations.exists(split_source(source)[0])


def _folder_around(container: Path) -> Path:
    """Return the folder in which a file or folder lies; a bucket lies in none and is its own."""
    return next(iter(locations.folders_around(container)), container)


def _in_folder(folder: Path) -> tuple[Reader, tuple[Path, ...]]:
    """Find the slices in a folder, or the volume that it is or holds."""
    own = folder_reader_for(folder)
    if own is not None:
        return own, (folder,)
    files, folders = locations.children(folder)
    slices = [path for path in files if is_slice_file(path)]
    if slices:
        reader = _format_of(slices, folder)
        chosen = without_thumbnails([path for path in slices if reader.can_read(path)])
        return reader, tuple(sorted(chosen, key=lambda path: natural_key(path.name)))
    volumes = [(path, found) for path in folders if (found := folder_reader_for(path)) is not None]
    if len(volumes) == 1:
        return volumes[0][1], (volumes[0][0],)
    if volumes:
        names = ", ".join(path.name for path, _ in volumes)
        raise NoSlicesError(
            f"{locations.shown(folder)} holds {len(volumes)} volumes ({names}); name one of them as the source"
        )
    raise NoSlicesError(
        f"{locations.shown(folder)}: {_found_in(files, folders)}; expected slices ending in {usual_suffixes()}"
    )


def _format_of(slices: Sequence[Path], folder: Path) -> Reader:
    """Choose the format of a folder's slices; refuse a folder in which two could be meant.

    A few files of another format are overviews. Files of a format that is registered later and that have the names of the
    others are the same slices once more.
    """
    formats_of = {path: reader_for(path) for path in slices}
    found = list(dict.fromkeys(formats_of.values()))
    present = [
        (reader, [path for path in slices if formats_of[path] is reader])
        for reader in READERS
        if reader in found
    ]
    stems = [{path.stem.lower() for path in own} for _, own in present]
    for place, (reader, own) in enumerate(present):
        others = [n for n in range(len(present)) if n != place]
        if all(
            len(present[n][1]) <= _FEW * len(own) or (n > place and stems[n] <= stems[place]) for n in others
        ):
            return reader
    formats = ", ".join(f"{len(own)} {reader.name}" for reader, own in present)
    raise NoSlicesError(
        f"{locations.shown(folder)} holds files of several formats ({formats}); expected the slices of one acquisition: "
        "move the others out of the folder"
    )


def folder_of_slices(source: Path) -> Path:
    """Return the folder that holds the slices, or beside whose file or volume others may state something."""
    container, _ = split_source(source)
    own = locations.is_folder(container) and folder_reader_for(container) is None
    return container if own else _folder_around(container)


def description_path(source: Path) -> Path:
    """Return the path of the acquisition's description: in the folder, or beside the file or volume that holds the slices."""
    container, _ = split_source(source)
    if locations.is_folder(container):
        inside = container / DESCRIPTION
        if folder_reader_for(container) is None or locations.is_file(inside):
            return inside
    return _folder_around(container) / DESCRIPTION


def acquisition_name(source: Path) -> str:
    """Return the name of a source's results folder: its own, without the ending of a file or volume."""
    container, _ = split_source(source)
    name = container.name
    if locations.is_folder(container):
        return container.stem if folder_reader_for(container) is not None and container.suffix else name
    for suffix in sorted((suffix for reader in READERS for suffix in reader.suffixes), key=len, reverse=True):
        if name.lower().endswith(suffix) and suffix.count(".") > 1:
            return name[: -len(suffix)]
    return container.stem if reader_for(container) is not None else name


def is_slice_file(path: Path) -> bool:
    """Return whether a file is named as a slice or a stack: in a known format, neither hidden nor a thumbnail."""
    return reader_for(path) is not None and not path.name.startswith(".") and not is_thumbnail(path)


def _found_in(files: Sequence[Path], folders: Sequence[Path]) -> str:
    deeper = sorted(
        path.name for path in folders if any(is_slice_file(file) for file in locations.children(path)[0])
    )
    found = (
        f"no slice of a known format among its {len(files)} files" if files else "the folder holds no file"
    )
    if deeper:
        found += f", but its subfolder {deeper[0]} has some: name that as the source"
    return found

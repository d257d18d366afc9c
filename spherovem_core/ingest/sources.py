"""Which files an acquisition consists of, and their fingerprint."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spherovem_core.errors import NoSlicesError
from spherovem_core.ingest.numbering import natural_key
from spherovem_core.references import canonical_json

SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8"})
DESCRIPTION = "acquisition.json"
SAMPLE_BYTES = 64 * 1024
# Opening a file on network storage is latency, not work: more threads than cores.
FILE_THREADS = 8


def find_slices(source: Path) -> list[Path]:
    """List the TIFF files of an acquisition in natural order (``slice_9`` before ``slice_10``).

    Hidden files (among them the ``._*`` of macOS) and thumbnails are left out; subfolders are not searched.

    Parameters
    ----------
    source
        A folder of TIFF files, or one TIFF file.

    Raises
    ------
    NoSlicesError
        If the source does not exist or holds no TIFF file.
    """
    if source.is_dir():
        names = [path.name for path in source.iterdir() if path.is_file() and is_slice(path)]
        if not names:
            raise NoSlicesError(f"{source}: {_contents(source)}; expected slices ending in .tif or .tiff")
        return [source / name for name in sorted(names, key=natural_key)]
    if not source.exists():
        raise NoSlicesError(
            f"{source} does not exist; expected a folder of TIFF slices or one multi-page TIFF"
        )
    if source.suffix.lower() not in SUFFIXES:
        raise NoSlicesError(
            f"{source} is not named as a TIFF; expected a file ending in .tif or .tiff, or a folder of them"
        )
    return [source]


def description_path(source: Path) -> Path:
    """Where the acquisition's description lies: in the folder, or beside the multi-page file."""
    return (source if source.is_dir() else source.parent) / DESCRIPTION


def source_digest(source: Path) -> str:
    """Fingerprint the source files without reading them whole.

    Parameters
    ----------
    source
        A folder of TIFF files, or one TIFF file.

    Returns
    -------
    str
        sha256 over name, size, modification time and the first and last 64 KiB of every slice file and of
        ``acquisition.json``. The folder's own path does not enter: a moved acquisition keeps its fingerprint.

    Raises
    ------
    NoSlicesError
        If the source does not exist or holds no TIFF file.
    """
    return manifest_digest(source, _manifest_entry)


def manifest_digest(source: Path, entry: Callable[[Path], list[str | int]]) -> str:
    """Take the sha256 over what `entry` says of every slice file, and of ``acquisition.json`` where it is there."""
    paths = find_slices(source)
    description = description_path(source)
    if description.is_file():
        paths.append(description)
    with ThreadPoolExecutor(FILE_THREADS) as threads:
        entries = list(threads.map(entry, paths))
    return hashlib.sha256(canonical_json(entries).encode()).hexdigest()


def _manifest_entry(path: Path) -> list[str | int]:
    with path.open("rb") as file:
        sample = hashlib.sha256(file.read(SAMPLE_BYTES))
        size = file.seek(0, 2)
        file.seek(max(0, size - SAMPLE_BYTES))
        sample.update(file.read(SAMPLE_BYTES))
    return [path.name, size, path.stat().st_mtime_ns, sample.hexdigest()]


def is_slice(path: Path) -> bool:
    """Whether a file's name is that of a slice or a stack: a TIFF that is neither hidden nor a thumbnail."""
    name = path.name.lower()
    return path.suffix.lower() in SUFFIXES and not name.startswith(".") and "thumb" not in name


def _contents(folder: Path) -> str:
    files = [path for path in folder.iterdir() if path.is_file()]
    deeper = sorted(p.name for p in folder.iterdir() if p.is_dir() and any(is_slice(f) for f in p.iterdir()))
    found = f"no TIFF slice among its {len(files)} files" if files else "the folder holds no file"
    if deeper:
        found += f", but its subfolder {deeper[0]} has some: name that as the source"
    return found

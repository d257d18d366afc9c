"""Record of the source of a results folder, which refuses another acquisition of the same name."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from spherovem_core.errors import ParameterError
from spherovem_core.references import Acquisition
from spherovem_core.store import Layout, read_json, write_json
from spherovem_core.store.files import format_json
from spherovem_core.urls import absolute, shown

# Slices of one acquisition stay the same when some are added or acquired again; those of another never are the same.
_SHARED = 0.5


class SourceFilesRead(dict[str, Any]):
    """Digests of a source's files, by name, with the names of those that were asked for."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__(known)
        self._asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        """Return what is known of a file."""
        self._asked.add(name)
        return super().get(name, default)

    def of_source(self) -> dict[str, Any]:
        """Return the digests of the files that were asked for: those of the source, and no others that are known."""
        return {name: entry for name, entry in self.items() if name in self._asked}


def read_source(acquisition: Acquisition) -> tuple[str, dict[str, Any]]:
    """Return the digest of the acquired files and those of each file, known from an earlier run or taken now."""
    from spherovem_core.ingest import source_digest

    known = SourceFilesRead(read_json(Layout(acquisition.folder).source_files) or {})
    digest = source_digest(acquisition.source, known)
    return digest, known.of_source()


def check_owner(acquisition: Acquisition, digest: str = "", files: Mapping[str, Any] | None = None) -> None:
    """Refuse a results folder that holds the results of another acquisition.

    An acquisition is the same if it lies where it lay, if its content is the same, or if at least half of its files are: it was
    moved or copied, and some slices or the description changed.

    Parameters
    ----------
    digest, files
        Of the source, as `read_source` returns them; read if they are needed and not given.

    Raises
    ------
    ParameterError
        If it is another.
    """
    layout = Layout(acquisition.folder)
    before = read_json(layout.source_files) or {}
    record = read_json(layout.source_record) or {}
    if not (record or before):
        return  # nothing was computed, or by a version that recorded no content of the source
    recorded = record.get("source") or (read_json(layout.provenance) or {}).get("source")
    if recorded and _place(Path(recorded)) == _place(acquisition.source):
        return
    if files is None:
        digest, files = read_source(acquisition)
    if record.get("digest") == digest or _share_files(before, files):
        return
    raise ParameterError(
        f"{layout.folder} holds the results of {recorded or 'another source'}, and {_place(acquisition.source)} has other files: "
        "two acquisitions of one name cannot share a results folder; choose another name (--name), or another results root"
    )


def claim_folder(acquisition: Acquisition, digest: str, files: Mapping[str, Any]) -> None:
    """Record the source of the results, before anything is computed; of two runs that begin at the same time one is refused.

    Raises
    ------
    ParameterError
        If the folder holds the results of another acquisition.
    """
    layout = Layout(acquisition.folder)
    record = {"source": _place(acquisition.source), "digest": digest}
    check_owner(acquisition, digest, files)
    if not _create(layout.source_record, record):
        check_owner(acquisition, digest, files)
        write_json(layout.source_record, record)
    write_json(layout.source_files, files)


def _create(path: Path, record: Mapping[str, Any]) -> bool:
    """Write a document unless a readable one is there; return whether it was written."""
    fresh = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        fresh.write_text(format_json(record), encoding="utf-8")
        os.link(fresh, path)
    except FileExistsError:
        if read_json(path) is not None:
            return False
        fresh.replace(path)
    except OSError:  # a file system without links: the document is written whole, only not exclusively
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return True


def _share_files(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    old, new = _contents(before), _contents(now)
    return bool(old and new) and len(old & new) >= _SHARED * min(len(old), len(new))


def _contents(files: Mapping[str, Any]) -> set[str]:
    from spherovem_core.ingest.source_files import DESCRIPTION

    return {
        str(entry["digest"]) for name, entry in files.items() if name != DESCRIPTION and "digest" in entry
    }


def _place(source: Path) -> str:
    return shown(absolute(source))

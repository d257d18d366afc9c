"""Migration of one results folder from format 1, killed at any instant without loss and continued by the next call."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spherovem_core.errors import FormatError, StoreNotWritableError
from spherovem_core.migration.history import Digests, Entry, is_known
from spherovem_core.migration.model_names import new_model_names, rename_models
from spherovem_core.migration.renames import TABLES, step_name
from spherovem_core.migration.rewrite import rewrite_array, rewrite_document, rewrite_table
from spherovem_core.migration.source import digest_today
from spherovem_core.registry import PIPELINE
from spherovem_core.store.files import read_json, write_json
from spherovem_core.store.format import FORMAT, check_format, mark_format, stored_format
from spherovem_core.store.layout import Layout
from spherovem_core.store.markers import array_marker, holding_lock
from spherovem_core.store.tables import table_marker
from spherovem_core.workflow import ArrayOutput, DocumentOutput, Output, Pipeline, TableOutput

JOURNAL = "migration.json"
"""Digests of a migration that has begun; a rewritten output no longer holds its old digest."""


@dataclass(frozen=True)
class Migrated:
    """Result of a migration.

    Attributes
    ----------
    kept
        Titles of the steps whose results are complete and valid today.
    dropped
        Titles of the steps that the next run computes again.
    source_found
        True if the acquired files are the ones that were ingested. Otherwise, a run from the source computes all steps
        again, and a run that starts at a later stage continues.
    """

    folder: Path
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    source_found: bool


def migrate(
    folder: Path,
    *,
    source: Path | None = None,
    trust_source: bool = False,
    without_source: bool = False,
    pipeline: Pipeline = PIPELINE,
) -> Migrated | None:
    """Bring a results folder to the format of this version.

    Markers, tables and documents get the names and digests of this version; no array is read or written. Partial arrays and
    ledgers are dropped. A folder of today's format is left as it is. The acquired files are read once: format 1 knew them by
    their times, today's digest depends on their content.

    Parameters
    ----------
    source
        Place of the acquired files; by default where the results say that they were.
    trust_source
        Take them for the ones that were ingested, although their times have changed.
    without_source
        Migrate although the acquired files cannot be told to be the ones that were ingested. Runs that start at a later stage go
        on from the results; a run from the source computes all steps again.

    Returns
    -------
    Migrated or None
        None where there was nothing to do.

    Raises
    ------
    FormatError
        If the format is newer, the folder holds no results, or the acquired files are away or have other times.
    StoreNotWritableError
        If a run holds the folder, or it cannot be written.
    """
    layout = Layout(folder.absolute())
    version = _format_to_migrate(layout)
    if version is None:
        raise FormatError(f"{folder} holds no results; name an acquisition's results folder")
    if version == FORMAT:
        return None
    if version > FORMAT:
        check_format(layout.folder)
    layout.ensure_writable()
    with holding_lock(layout.locks / "acquisition.lock") as held:
        if not held:
            raise StoreNotWritableError(f"{folder} is being processed; migrate it when the run has ended")
        return _migrate(layout, pipeline, _Source(source, trust_source, without_source))


def _migrate(layout: Layout, pipeline: Pipeline, source: "_Source") -> Migrated:
    digests, models = _read_journal(layout, pipeline) or _begin(layout, pipeline, source)
    for output in _outputs(pipeline):
        _rewrite(layout, output, digests)
    rename_models(layout, models)
    _drop_leftovers(layout)
    mark_format(layout)
    layout.scratch.joinpath(JOURNAL).unlink(missing_ok=True)
    return _result(layout, pipeline, digests)


def holds_results(folder: Path) -> bool:
    """Return whether a folder holds finished results, of whatever format, or a migration that was killed."""
    return _format_to_migrate(Layout(folder.absolute())) is not None


def _format_to_migrate(layout: Layout) -> int | None:
    """Return the format; a migration that was killed after the last rewritten file left no sign of format 1 but its journal."""
    version = stored_format(layout.folder)
    return 1 if version is None and layout.scratch.joinpath(JOURNAL).exists() else version


def _outputs(pipeline: Pipeline) -> Iterator[Output]:
    for step in pipeline.steps:
        yield from step.outputs


def _old_path(output: Output) -> str:
    return next((old for old, new in TABLES.items() if new == output.path), output.path)


def _old_marker(layout: Layout, output: Output) -> Mapping[str, Any] | None:
    """Return the marker that format 1 left for an output; None where it is not complete."""
    place = layout.path(_old_path(output))
    match output:
        case ArrayOutput():
            marker = array_marker(place)
            return marker if marker is not None and marker.get("complete") else None
        case TableOutput():
            return table_marker(place)
        case DocumentOutput():
            return read_json(place)
        case _:
            return None


@dataclass(frozen=True)
class _Source:
    place: Path | None
    trusted: bool
    dispensable: bool


def _begin(layout: Layout, pipeline: Pipeline, source: _Source) -> tuple[Digests, dict[str, str]]:
    """Work out today's digest of everything that is complete, and note it before anything is changed."""
    digests = Digests(pipeline)
    for step in pipeline.steps:
        marker = _old_marker(layout, step.main_output) or {}
        for entry in marker.get("history", ()):
            if not is_known(entry):
                continue
            name = step_name(entry["stage"], entry["parameters"])
            if name == "ingest" and not digests.sources:
                digests.sources = _source_digests(layout, entry, source)
            digests.add(entry)
    models = new_model_names(layout, digests)
    journal = {"digests": digests.new, "sources": digests.sources, "models": models}
    write_json(layout.scratch / JOURNAL, journal)
    return digests, models


def _read_journal(layout: Layout, pipeline: Pipeline) -> tuple[Digests, dict[str, str]] | None:
    journal = read_json(layout.scratch / JOURNAL)
    if journal is None or not {"digests", "sources", "models"} <= journal.keys():
        return None
    return Digests(pipeline, dict(journal["digests"]), dict(journal["sources"])), dict(journal["models"])


def _source_digests(layout: Layout, entry: Entry, source: _Source) -> dict[str, str]:
    """Return today's digest of the acquired files by that of format 1."""
    noted = (read_json(layout.provenance) or {}).get("source")
    place = source.place or (None if noted is None else Path(noted))
    old = entry["parameters"]["source_digest"]
    new = None if place is None else digest_today(place, old, trust_source=source.trusted)
    if new is not None:
        return {old: new}
    if source.dispensable:
        return {}
    raise FormatError(
        f"{layout.folder}: the acquired files at {place or 'an unknown place'} are not there, or have other times than when "
        "they were ingested; give their place with --source, and --trust-source if they were copied, or --without-source "
        "to keep results that a run from the source will compute again"
    )


def _rewrite(layout: Layout, output: Output, digests: Digests) -> None:
    match output:
        case ArrayOutput():
            finest = layout.path(output.path)
            if not finest.exists():
                return
            for level in sorted(finest.parent.iterdir()):
                if level.name.isdigit() and not rewrite_array(level, digests):
                    shutil.rmtree(level)
        case TableOutput():
            place = layout.path(_old_path(output))
            if place.is_file() and not rewrite_table(layout, _old_path(output), digests):
                place.unlink()
        case DocumentOutput():
            rewrite_document(layout.path(output.path), digests)
        case _:
            return


def _drop_leftovers(layout: Layout) -> None:
    """Remove ledgers, provisional arrays, records and locks that carry old digests."""
    for name in ("ledgers", "provisional", "records"):
        shutil.rmtree(layout.scratch / name, ignore_errors=True)
    for path in layout.locks.glob("*-*.lock"):
        path.unlink(missing_ok=True)


def _result(layout: Layout, pipeline: Pipeline, digests: Digests) -> Migrated:
    from spherovem_core.workflow.artifacts import find_newest

    valid = set(digests.new.values())
    kept: list[str] = []
    dropped: list[str] = []
    for step in pipeline.steps:
        found = find_newest(layout, step.outputs)
        (kept if found is not None and found.digest in valid else dropped).append(step.title)
    return Migrated(layout.folder, tuple(kept), tuple(dropped), bool(digests.sources))

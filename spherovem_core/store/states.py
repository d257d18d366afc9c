"""How far an acquisition is, told from its results folder alone: nothing is written, no array is opened."""

import fcntl
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from spherovem_core.store.failures import read_failure, read_rejection
from spherovem_core.store.layout import (
    DENOISED,
    DISTANCE,
    NANOPARTICLES,
    OBJECT_KINDS,
    POSTERIOR,
    RAW,
    REGISTERED,
    Layout,
    array_path,
    flows_group,
    labels_group,
    stage_table_path,
    table_path,
)
from spherovem_core.store.ledger import read_entries
from spherovem_core.store.reading import ARRAY_LEDGER, ATTRIBUTE
from spherovem_core.store.tables import read_json, table_marker

Sort = Literal["absent", "partial", "outdated", "complete"]
Overall = Literal["absent", "partial", "failed", "rejected", "running", "complete"]

FOLDERS_AT_ONCE = 8
"""On network storage reading many small files is latency, not work."""

Marker = Mapping[str, Any]
"""What an output says of itself: ``fingerprint``, ``history``, and for an array whether it is ``complete``."""


@dataclass(frozen=True)
class StageOutputs:
    """What one stage leaves on disk, in words that need neither Prefect nor parameters.

    Attributes
    ----------
    title
        The stage as people name it, such as ``segment_masks cells``.
    outputs
        Paths in the results folder.
    provisional
        Name of an array that the stage fills before its output.
    ledger
        Name of its ledger of finished pieces, where that is not one of blocks.
    """

    title: str
    outputs: tuple[str, ...]
    provisional: str = ""
    ledger: str = ""

    @property
    def name(self) -> str:
        """The stage without the kind of object."""
        return self.title.split()[0]


def stage_outputs() -> tuple[StageOutputs, ...]:
    """Every stage in the order of the pipeline."""
    flows = (StageOutputs(f"predict_flows {kind}", (array_path(flows_group(kind)),)) for kind in OBJECT_KINDS)
    masks = (
        StageOutputs(
            f"segment_masks {kind}",
            (array_path(labels_group(kind)),),
            provisional=f"labels-{kind}",
            ledger=f"masks-{kind}",
        )
        for kind in OBJECT_KINDS
    )
    shapes = (
        StageOutputs(f"measure_shape {kind}", (stage_table_path(f"shape-{kind}"),)) for kind in OBJECT_KINDS
    )
    particles = (
        array_path(NANOPARTICLES),
        array_path(POSTERIOR),
        stage_table_path("nanoparticles"),
        "models/mixture.json",
    )
    space = (
        stage_table_path(f"space-{name}") for name in ("cells", "nuclei", "nanoparticles", "radial", "ripley")
    )
    final = map(table_path, ("cells", "nuclei", "nanoparticles", "slices"))
    return (
        StageOutputs("ingest", (array_path(RAW), stage_table_path("slices"))),
        StageOutputs("denoise", (array_path(DENOISED), stage_table_path("denoising")), ledger="denoising"),
        StageOutputs(
            "register", (array_path(REGISTERED), stage_table_path("registration")), ledger="registration"
        ),
        *flows,
        *masks,
        StageOutputs("segment_nanoparticles", particles, provisional="nanoparticles"),
        *shapes,
        StageOutputs("measure_space", (array_path(DISTANCE), *space)),
        StageOutputs("write_output", ("provenance.json", "report.html", *final)),
    )


@dataclass(frozen=True)
class StageState:
    """How far one stage is.

    Attributes
    ----------
    state
        ``complete``; ``outdated``: complete, but computed from what has been replaced since; ``partial``; ``absent``.
    share
        Part of its arrays that is written, 0 to 1; None where it has no unfinished array.
    finished, seconds
        When it was finished (ISO 8601) and how long that run of it took; None where it is not.
    running
        Whether a process is computing it now.
    """

    title: str
    state: Sort
    share: float | None = None
    finished: str | None = None
    seconds: float | None = None
    running: bool = False
    fingerprints: frozenset[str] = field(default=frozenset(), repr=False)
    inputs: frozenset[str] = field(default=frozenset(), repr=False)

    def document(self) -> dict[str, Any]:
        """What a person wants to know of it, as JSON."""
        return {name: value for name, value in asdict(self).items() if name not in ("fingerprints", "inputs")}


@dataclass(frozen=True)
class AcquisitionState:
    """How far an acquisition is.

    Attributes
    ----------
    state
        ``running`` while a process holds the acquisition; ``rejected``: the watcher refused it; ``failed``: the last
        run ended in an error.
    stage
        The stage that is running, failed, or is next; None where all are complete.
    share
        Of that stage, as in `StageState`.
    last
        When anything was last finished or written (ISO 8601, local time with its offset from UTC).
    error
        Why it failed or was rejected.
    """

    name: str
    folder: Path
    state: Overall
    stage: str | None
    share: float | None
    last: str | None
    error: str | None
    stages: tuple[StageState, ...]

    @property
    def stages_complete(self) -> int:
        """How many stages are complete."""
        return sum(stage.state == "complete" for stage in self.stages)

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "state": self.state,
            "stage": self.stage,
            "share": self.share,
            "stages_complete": self.stages_complete,
            "last": self.last,
            "error": self.error,
            "stages": [stage.document() for stage in self.stages],
        }


def is_results_folder(folder: Path) -> bool:
    """Whether a folder holds results of ours, or the note that an acquisition was rejected."""
    layout = Layout(folder)
    return any(path.exists() for path in (layout.scratch, layout.volume, layout.rejection))


def acquisition_states(root: Path) -> Iterator[AcquisitionState]:
    """State of every results folder directly below `root`, by name."""
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and is_results_folder(folder)]
    with ThreadPoolExecutor(FOLDERS_AT_ONCE) as threads:
        yield from threads.map(acquisition_state, folders)


def acquisition_state(folder: Path) -> AcquisitionState:
    """Read how far one acquisition is.

    Markers are believed: whether a complete array has lost a file since is not checked.
    """
    layout = Layout(folder)
    stages = [_stage_state(layout, outputs) for outputs in stage_outputs()]
    held = lock_is_held(layout.locks / "acquisition.lock")
    stages = _mark_running(layout, _mark_outdated(stages)) if held else _mark_outdated(stages)
    state, error, failed = _overall(layout, stages, held)
    unfinished = [stage for stage in stages if stage.state != "complete"]
    current = next(
        (stage for stage in stages if stage.running or stage.title == failed), next(iter(unfinished), None)
    )
    return AcquisitionState(
        folder.name,
        folder,
        state,
        None if current is None else current.title,
        None if current is None else current.share,
        _last(layout, stages),
        error,
        tuple(stages),
    )


def lock_is_held(path: Path) -> bool:
    """Whether another process holds a lock file; asked such that the file stays as it is."""
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):
        return True
    return False


def written_share(folder: Path) -> float | None:
    """Part of an unfinished array that its ledger lists, 0 to 1; None where there is no unfinished array.

    Parameters
    ----------
    folder
        The array's folder, such as ``volume.zarr/raw/0``.
    """
    marker = _array_marker(folder)
    if marker is None or marker.get("complete"):
        return None
    total = math.prod(marker["shape"])
    written = sum(_voxels(key) for key in read_entries(folder / ARRAY_LEDGER))
    return min(1.0, written / total) if total else 1.0


def _voxels(block: str) -> int:
    """Voxels of a block by its key, such as ``0:16,0:512,0:512``."""
    sides = (side.partition(":") for side in block.split(","))
    return math.prod(int(stop) - int(start) for start, _, stop in sides)


def _stage_state(layout: Layout, stage: StageOutputs) -> StageState:
    markers = [_marker(layout, path) for path in stage.outputs]
    complete = [marker for marker in markers if marker is not None and marker.get("complete", True)]
    fingerprints = frozenset(str(marker["fingerprint"]) for marker in complete if "fingerprint" in marker)
    if len(complete) == len(stage.outputs) and len(fingerprints) == 1:
        history = complete[0].get("history") or [{}]
        return StageState(
            stage.title,
            "complete",
            finished=history[-1].get("finished"),
            seconds=history[-1].get("seconds"),
            fingerprints=fingerprints,
            inputs=frozenset(history[-1].get("inputs", ())),
        )
    share = _share(layout, stage)
    begun = any(markers) or share is not None or bool(stage.ledger and layout.ledger(stage.ledger).exists())
    return StageState(stage.title, "partial" if begun else "absent", share)


def _share(layout: Layout, stage: StageOutputs) -> float | None:
    """Mean over the arrays that a stage writes, one that is not begun counting as 0, a complete one as 1."""
    folders = [layout.path(path) for path in stage.outputs if path.endswith("/0")]
    if stage.provisional:
        folders.append(Layout(layout.provisional(stage.provisional)).path(array_path(stage.provisional)))
    shares = [written_share(folder) for folder in folders]
    if all(share is None for share in shares):
        return None
    done = [
        share if share is not None else float(_array_marker(folder) is not None)
        for share, folder in zip(shares, folders, strict=True)
    ]
    return sum(done) / len(done)


def _marker(layout: Layout, path: str) -> Marker | None:
    """What an output says of itself; None where it is absent or damaged."""
    place = layout.path(path)
    if path.endswith("/0"):
        return _array_marker(place)
    if path.endswith(".parquet"):
        return table_marker(place)
    if path.endswith(".json"):
        return read_json(place)
    return {} if place.is_file() else None


def _array_marker(folder: Path) -> Marker | None:
    try:
        found = json.loads((folder / "zarr.json").read_bytes())["attributes"][ATTRIBUTE]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _mark_outdated(stages: Sequence[StageState]) -> list[StageState]:
    """A complete stage is outdated when something it was computed from is not there any more."""
    marked: list[StageState] = []
    current: frozenset[str] = frozenset()
    for stage in stages:
        if stage.state == "complete" and not stage.inputs <= current:
            stage = replace(stage, state="outdated")
        else:
            current |= stage.fingerprints
        marked.append(stage)
    return marked


def _mark_running(layout: Layout, stages: Sequence[StageState]) -> list[StageState]:
    """Of the stages whose name a held lock bears, the first that is not complete is the one that runs."""
    held = {path.name.rpartition("-")[0] for path in layout.locks.glob("*-*.lock") if lock_is_held(path)}
    for index, stage in enumerate(stages):
        if stage.state != "complete" and stage.title.split()[0] in held:
            return [*stages[:index], replace(stage, running=True), *stages[index + 1 :]]
    return list(stages)


def _overall(
    layout: Layout, stages: Sequence[StageState], held: bool
) -> tuple[Overall, str | None, str | None]:
    """State, error, and the title of the stage that failed."""
    rejection, failure = read_rejection(layout), read_failure(layout)
    if held:
        return "running", None, None
    if rejection is not None:
        return "rejected", rejection, None
    if all(stage.state == "complete" for stage in stages):
        return "complete", None, None
    if failure is not None:
        return "failed", failure.error, failure.stage
    return ("absent" if all(stage.state == "absent" for stage in stages) else "partial"), None, None


def _last(layout: Layout, stages: Sequence[StageState]) -> str | None:
    moments = [datetime.fromisoformat(stage.finished) for stage in stages if stage.finished]
    arrays = [path for stage in stage_outputs() for path in stage.outputs if path.endswith("/0")]
    ledgers = [layout.path(path) / ARRAY_LEDGER for path in arrays]
    for path in (*ledgers, layout.failure, layout.rejection, layout.locks / "acquisition.lock"):
        if path.exists():
            moments.append(datetime.fromtimestamp(path.stat().st_mtime).astimezone())
    return max(moments).isoformat(timespec="seconds") if moments else None

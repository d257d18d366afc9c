"""Audits of results on disk: what a sample is drawn from, where it is kept, and what an audit found."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.audit.drawing import draw_sample, objects_of
from spherovem_core.audit.estimates import estimate
from spherovem_core.audit.journal import AuditEntry, AuditJournal
from spherovem_core.audit.places import Emptiness, PlaceFrame, frame_means
from spherovem_core.audit.sample import AuditSample, Box, PointUm
from spherovem_core.audit.verdicts import Judged
from spherovem_core.errors import AuditError, IncompleteArtifactError
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store import (
    Layout,
    StoredArray,
    open_array,
    read_json,
    read_table,
    write_json,
    write_table,
)
from spherovem_core.store.layout import SPECIMEN, CorrectedKind, corrected_group, table_path
from spherovem_core.store.tables import table_digest

LARGEST_PLANE_PX = 512
"""Voxels along the longer side of the slices from which the emptiness of frames is taken."""

POINT_VOXELS = 48
"""Voxels along the longest side of an object among which the one nearest to its centroid is searched."""


@dataclass(frozen=True)
class AuditSources:
    """Results that an audit of one kind of object reads.

    Attributes
    ----------
    labels
        Finest level of the labels.
    table
        Final table, without objects that a person excluded.
    suspicious
        Labels more probably wrong than right.
    fingerprint
        Digest of labels and table.
    """

    layout: Layout
    kind: CorrectedKind
    labels: StoredArray
    table: pd.DataFrame
    suspicious: tuple[int, ...]
    fingerprint: str


def audit_sources(layout: Layout, kind: CorrectedKind) -> AuditSources:
    """Read what an audit needs.

    Raises
    ------
    IncompleteArtifactError
        If labels or table are not complete.
    """
    labels = open_array(layout, corrected_group(kind))
    table = read_table(layout, table_path(kind))
    if "excluded" in table:
        table = table[~table["excluded"]].reset_index(drop=True)
    suspects = f"suspects_{kind}"
    suspicious: tuple[int, ...] = ()
    if table_digest(layout, table_path(suspects)) is not None:
        rows = read_table(layout, table_path(suspects))
        suspicious = tuple(int(n) for n in rows.loc[rows["score"] > 0, "label"])
    identity = [
        labels.digest,
        *(f"{a} {b}" for a, b in zip(table["label"], table["volume_um3"], strict=True)),
    ]
    fingerprint = hashlib.sha256("\n".join([*identity, *map(str, suspicious)]).encode()).hexdigest()[:16]
    return AuditSources(layout, kind, labels, table, suspicious, fingerprint)


def draw_stored(sources: AuditSources, seed: int) -> AuditSample:
    """Draw the sample of an audit of results on disk."""
    labels = sources.labels
    z, y, x = (step / NM_PER_UM for step in labels.spacing_nm)
    return draw_sample(
        sources.kind,
        sources.table,
        shape=(labels.shape[0], labels.shape[1], labels.shape[2]),
        voxel_um=(z, y, x),
        emptiness=_emptiness_of(sources),
        suspicious=sources.suspicious,
        point_of=lambda label, box, centroid: inner_point(labels, label, box, centroid),
        fingerprint=sources.fingerprint,
        seed=seed,
    )


def inner_point(labels: StoredArray, label: int, box: Box, centroid_um: PointUm) -> PointUm:
    """Return the position in µm of the voxel of an object nearest to its centroid, among evenly spaced ones."""
    low, high = np.array(box[:3]), np.array(box[3:])
    steps = np.maximum(1, -(-(high - low) // POINT_VOXELS))
    spacing, origin = (np.array(own) / NM_PER_UM for own in (labels.spacing_nm, labels.origin_nm))
    best, nearest = np.inf, np.array(centroid_um)
    # One plane at a time: an object may be larger than memory.
    for z in range(int(low[0]), int(high[0]), int(steps[0])):
        plane = labels[z, low[1] : high[1], low[2] : high[2]][:: steps[1], :: steps[2]]
        rows, columns = np.nonzero(plane == label)
        if len(rows):
            voxels = np.column_stack(
                [np.full(len(rows), z), low[1] + rows * steps[1], low[2] + columns * steps[2]]
            )
            places = origin + voxels * spacing
            distance = ((places - np.array(centroid_um)) ** 2).sum(axis=1)
            if distance.min() < best:
                best, nearest = float(distance.min()), places[int(distance.argmin())]
    return float(nearest[0]), float(nearest[1]), float(nearest[2])


def _emptiness_of(sources: AuditSources) -> Callable[[PlaceFrame], Emptiness]:
    """Score frames by the fraction that has no label, within cells for nuclei and within the specimen for others."""
    layout, kind = sources.layout, sources.kind
    labels = _small_level(layout, corrected_group(kind))
    within = _known_level(layout, corrected_group("cells") if kind == "nuclei" else SPECIMEN)

    def emptiness(frame: PlaceFrame) -> Emptiness:
        remembered: dict[int, NDArray[np.float64]] = {}
        ratio = np.array(labels.shape) / np.array(frame.shape)
        starts = [
            (np.arange(n) * frame.side_px * r).astype(np.int64)
            for n, r in zip(frame.grid, ratio[1:], strict=True)
        ]

        def score(z: int) -> NDArray[np.float64]:
            own = min(int(z * ratio[0]), labels.shape[0] - 1)
            if own not in remembered:
                remembered.clear()
                bare = labels[own] == 0
                if within is not None:
                    bare &= _plane_like(within, labels, own) != 0
                remembered[own] = frame_means(bare, (starts[0], starts[1]))
            return remembered[own]

        return score

    return emptiness


def _small_level(layout: Layout, group: str) -> StoredArray:
    stored = open_array(layout, group)
    for level in range(len(stored.details["level_factors"])):
        stored = open_array(layout, group, level)
        if max(stored.shape[1:]) <= LARGEST_PLANE_PX:
            break
    return stored


def _known_level(layout: Layout, group: str) -> StoredArray | None:
    try:
        return _small_level(layout, group)
    except IncompleteArtifactError:
        return None


def _plane_like(array: StoredArray, like: StoredArray, z: int) -> NDArray[np.generic]:
    """Read the slice of an array at that of another one, at the voxels nearest to its voxels."""
    indices = []
    for axis in range(3):
        steps = np.arange(like.shape[axis]) if axis else np.array([z])
        places = like.origin_nm[axis] + steps * like.spacing_nm[axis]
        own = np.rint((places - array.origin_nm[axis]) / array.spacing_nm[axis]).astype(int)
        indices.append(np.clip(own, 0, array.shape[axis] - 1))
    return np.asarray(array[int(indices[0][0])])[np.ix_(indices[1], indices[2])]


def sample_path(layout: Layout, kind: str) -> Path:
    """Return the file of the drawn sample."""
    return layout.audit(kind).with_suffix(".sample.json")


def load_sample(layout: Layout, kind: str) -> AuditSample:
    """Read the drawn sample.

    Raises
    ------
    AuditError
        If none was drawn, or the file was changed.
    """
    path = sample_path(layout, kind)
    document = read_json(path)
    if document is None:
        raise AuditError(
            f"{path} is not there or is no JSON: no sample of {kind} was drawn; draw one with "
            f"spherovem audit {layout.folder.name} --kind {kind}"
        )
    return AuditSample.parse(document, str(path))


def save_sample(layout: Layout, sample: AuditSample) -> None:
    """Keep a drawn sample."""
    write_json(sample_path(layout, sample.kind), sample.document())


def check_unchanged(sample: AuditSample, sources: AuditSources) -> None:
    """Refuse a sample of other labels.

    Raises
    ------
    AuditError
        If labels, table or suspects changed since it was drawn.
    """
    if sample.fingerprint != sources.fingerprint:
        raise AuditError(
            f"the {sample.kind} were changed since the sample was drawn ({sample.drawn}): its verdicts say nothing about the "
            "present ones. Draw another sample with --redraw"
        )


def judge_stored(sources: AuditSources, judged: tuple[Judged, ...], sample: AuditSample) -> pd.DataFrame:
    """Estimate the quality of results on disk from a judged sample."""
    return estimate(sample, judged, objects_of(sample, sources.table, sources.suspicious))


@dataclass(frozen=True)
class AuditState:
    """State of the audit of one kind of object.

    Attributes
    ----------
    entry
        The last judged sample; None if there is none.
    current
        True if the labels are still those that it was drawn from.
    quantities
        Its table; None unless it is current.
    damage
        Why the journal cannot be read; empty if it can.
    """

    kind: str
    entry: AuditEntry | None
    current: bool
    quantities: pd.DataFrame | None
    damage: str = ""

    @property
    def text(self) -> str:
        """State in words."""
        if self.damage:
            return f"unknown: {self.damage}"
        if self.entry is None:
            return "not audited"
        who = f"{self.entry.author}, {self.entry.time[:10]}"
        if not self.current or self.quantities is None:
            return f"audited ({who}) before the labels changed; not audited since"
        rows = self.quantities.set_index("quantity")
        figures = ", ".join(
            f"{name} {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            for name, row in rows.loc[["precision", "recall"]].iterrows()
        )
        return f"audited ({who}): {figures}"


def audit_state(layout: Layout, kind: CorrectedKind) -> AuditState:
    """Read the last audit of a kind of object. A damaged journal is told, and stops no report."""
    try:
        entries = AuditJournal(layout.audit(kind)).entries()
    except AuditError as error:
        return AuditState(kind, None, False, None, str(error))
    if not entries:
        return AuditState(kind, None, False, None)
    entry = entries[-1]
    try:
        sources = audit_sources(layout, kind)
    except IncompleteArtifactError:
        return AuditState(kind, entry, False, None)
    if entry.sample.fingerprint != sources.fingerprint:
        return AuditState(kind, entry, False, None)
    return AuditState(kind, entry, True, judge_stored(sources, entry.judged, entry.sample))


def quantities_path(kind: str) -> str:
    """Return the path of the table of what an audit found."""
    return table_path(f"audit_{kind}")


def write_quantities(
    layout: Layout, kind: CorrectedKind, quantities: pd.DataFrame, sample: AuditSample
) -> None:
    """Write what an audit found as a table; its digest is that of the sample."""
    write_table(layout, quantities_path(kind), quantities, f"audit {sample.identifier}")

"""Opening of an editing session, and of what is shown beside the labels."""

import getpass
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.editing.canvas import Canvas
from deployments.editing.edited_labels import EditedLabels, basic_region
from deployments.editing.known_objects import tabled_objects
from deployments.editing.operation_texts import describe
from deployments.editing.session import EditingSession
from deployments.editing.suspects import read_suspects
from deployments.editing.unsaved import UnsavedOperations
from deployments.viewing.layers import Layer, complete_levels, value_range
from spherovem_core.corrections import Entry, Journal
from spherovem_core.errors import CorrectionError, IncompleteArtifactError
from spherovem_core.references import canonical_json
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, StoredArray
from spherovem_core.store.layout import (
    NANOPARTICLES,
    POSTERIOR,
    REGISTERED,
    CorrectedKind,
    flows_group,
    labels_group,
)

AUTOMATIC = "_automatic"
LOGIT_CHANNEL = 3
LOGIT_RANGE = (-6.0, 6.0)


@dataclass(frozen=True)
class Probability:
    """Probability that the segmentation gave each voxel: its logit, or the posterior.

    Attributes
    ----------
    levels : sequence of (Z, Y, X) array-like
    spacing_nm, origin_nm
        Of the finest level.
    value_range
        Values shown as black and white.
    """

    levels: Sequence[Any]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm
    value_range: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """A session, and what is shown beside the labels.

    Attributes
    ----------
    session
        The session.
    image
        The image on which the labels were drawn; None where it was discarded.
    probability
        Probability of the segmentation; None where it was discarded.
    notes
        What the user should know at the start.
    """

    session: EditingSession
    image: Layer | None
    probability: Probability | None
    notes: tuple[str, ...]


class ChannelView:
    """One channel of a (C, Z, Y, X) array as a (Z, Y, X) array, read in pieces."""

    def __init__(self, stored: StoredArray, channel: int) -> None:
        self._stored, self._channel = stored, channel
        self.shape = stored.shape[1:]
        self.dtype = np.dtype(np.float32)
        self.ndim = 3
        self.size = math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        region, steps = basic_region(key, self.shape)
        values: NDArray[np.float32] = self._stored[(self._channel, *region)].astype(np.float32)[steps]
        return values


def open_scene(
    layout: Layout,
    kind: CorrectedKind,
    *,
    author: str = "",
    suspects: Path | None = None,
) -> Scene:
    """Open a session on the labels of one kind; nothing is read but attributes, a table, and the coarsest image.

    Raises
    ------
    IncompleteArtifactError
        If the labels are not complete.
    CorrectionError
        If the journal or the table of suspects is damaged.
    StoreNotWritableError
        If no correction could be saved.
    """
    journal = Journal(layout.journal(kind))
    head, entries = journal.head, journal.effective()
    levels, replayed = _labels(layout, kind, entries)
    found = read_suspects(layout, kind, suspects)
    finest = levels[0]
    name = author or getpass.getuser()
    labels = EditedLabels(levels, finest.details.get("level_factors", [[1, 1, 1]]))
    canvas = Canvas(labels, tabled_objects(layout, kind, finest), finest.spacing_nm, finest.origin_nm)
    unsaved = UnsavedOperations(layout, kind, name)
    session = EditingSession(canvas, journal, unsaved, name, head, found)
    notes = _replay(canvas, replayed)
    return Scene(session, _image(layout), _probability(layout, kind), tuple(notes))


def kind_group(kind: CorrectedKind) -> str:
    """Return the group of the labels of a kind."""
    return NANOPARTICLES if kind == "nanoparticles" else labels_group(kind)


def _labels(
    layout: Layout, kind: CorrectedKind, entries: Sequence[Entry]
) -> tuple[tuple[StoredArray, ...], Sequence[Entry]]:
    """Return the labels to edit, and those saved operations that they do not hold yet."""
    group = kind_group(kind)
    present = complete_levels(layout, group)
    automatic = complete_levels(layout, f"{group}{AUTOMATIC}")
    held = (
        present[0].history[-1].get("external", {}).get("journal", "")
        if present and present[0].history
        else ""
    )
    if present and held == _label_digest(entries):
        # They hold all that changes labels; marks are no part of them.
        return present, [entry for entry in entries if not entry.operation.changes_labels]
    if automatic:
        return automatic, entries
    if present and not held:
        return present, entries
    if present:
        raise CorrectionError(
            f"the labels of {kind} were corrected by operations that {layout.journal(kind)} does not hold; "
            f"restore the journal from a copy, or compute the labels again: spherovem process … --start-at segmentation"
        )
    raise IncompleteArtifactError(
        f"{layout.folder} holds no complete labels of {kind}; process the acquisition first"
    )


def _label_digest(entries: Sequence[Entry]) -> str:
    """Return the digest of the operations that change labels, which corrected labels carry; empty without any."""
    content = [
        [entry.number, entry.operation.model_dump(mode="json")]
        for entry in entries
        if entry.operation.changes_labels
    ]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest() if content else ""


def _replay(canvas: Canvas, entries: Sequence[Entry]) -> list[str]:
    notes = []
    for entry in entries:
        try:
            canvas.apply(entry.operation)
        except CorrectionError as error:
            notes.append(
                f"line {entry.number} of the journal ({describe(entry.operation)}) does not fit: {error}"
            )
    return notes


def _image(layout: Layout) -> Layer | None:
    levels = complete_levels(layout, REGISTERED)
    if not levels:
        return None
    return Layer(REGISTERED, REGISTERED, "image", levels, value_range(levels[-1]), visible=True)


def _probability(layout: Layout, kind: CorrectedKind) -> Probability | None:
    group = POSTERIOR if kind == "nanoparticles" else flows_group(kind)
    levels = complete_levels(layout, group)
    if not levels:
        return None
    finest = levels[0]
    if kind == "nanoparticles":
        return Probability([level.array for level in levels], finest.spacing_nm, finest.origin_nm, (0.0, 1.0))
    view = ChannelView(finest, LOGIT_CHANNEL)
    return Probability([view], finest.spacing_nm, finest.origin_nm, LOGIT_RANGE)

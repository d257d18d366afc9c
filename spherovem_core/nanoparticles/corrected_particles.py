"""Rows of particles that were corrected by hand, and the agglomerates that follow."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS
from spherovem_core.nanoparticles.objects import boxes_of
from spherovem_core.spacing import NM_PER_UM, SpacingNm, spacing_um

Row: TypeAlias = dict[Hashable, Any]

INHERITED = ("mean_intensity", "contrast", "population", "confidence")


def correct_particle_table(
    particles: pd.DataFrame,
    kept: Iterable[int],
    voxels: Mapping[int, NDArray[np.int64]],
    sources: Mapping[int, Sequence[int]],
    touching: Mapping[int, Sequence[int]],
    spacing_nm: SpacingNm,
) -> pd.DataFrame:
    """Replace the rows of particles that were corrected by hand.

    A corrected particle has the volume of its voxels, since a person drew its outline; others keep theirs, which is measured from
    the signal. Intensity, contrast, population and confidence are those of the largest particle that it was made from: the
    statistics that they come from are those of the particles as found. A particle that was made from none has population 0, and
    NaN in the others.

    Parameters
    ----------
    particles
        Table of the particles as found, with ``place``.
    kept
        Labels of all particles after the corrections.
    voxels
        Voxels (M, 3) of each corrected particle, by label.
    sources
        Labels in `particles` that each of them was made from.
    touching
        Labels of the other particles that each of them touches, for each of them.
    spacing_nm
        Voxel size (dz, dy, dx).

    Returns
    -------
    DataFrame
        Rows by label. ``place`` of a corrected particle is empty. A corrected particle joins the agglomerates of its sources
        and of those that it touches under the smallest of their numbers; others keep their numbers.
    """
    untouched = particles["label"].isin(list(kept)) & ~particles["label"].isin(list(voxels))
    wanted = {source for label in voxels for source in sources.get(label, ())}
    found = {int(row["label"]): row for row in particles[particles["label"].isin(wanted)].to_dict("records")}
    made = [
        _row(label, own, _largest(found, sources.get(label, ())), spacing_nm) for label, own in voxels.items()
    ]
    new = pd.DataFrame(made, columns=particles.columns).astype(particles.dtypes.to_dict())
    joined = pd.concat([particles[untouched], new]) if made else particles[untouched]
    joined = joined.sort_values("label", kind="stable").reset_index(drop=True)
    highest = int(particles["agglomerate"].max()) if len(particles) else 0
    joined["agglomerate"] = _agglomerates(joined, found, sources, touching, highest)
    return joined


def _largest(found: Mapping[int, Row], sources: Sequence[int]) -> Row | None:
    known = [label for label in sources if label in found]
    return found[max(known, key=lambda label: (found[label]["voxel_count"], -label))] if known else None


def _row(label: int, voxels: NDArray[np.int64], source: Row | None, spacing_nm: SpacingNm) -> Row:
    volume = len(voxels) * float(np.prod(spacing_nm)) / NM_PER_UM**3
    row: Row = {"label": label}
    row |= dict(zip(BOX_COLUMNS, boxes_of([voxels.astype(np.int32)])[0], strict=True))
    row |= dict(zip(CENTROID_COLUMNS, voxels.mean(axis=0) * spacing_um(spacing_nm), strict=True))
    row |= {
        "voxel_count": len(voxels),
        "volume_um3": volume,
        "equivalent_diameter_um": float(np.cbrt(6 / np.pi * volume)),
        "kind": "nanoparticle",
        "agglomerate": 0,
        "place": "",
    }
    for name in INHERITED:
        unknown = 0 if name == "population" else float("nan")
        row[name] = unknown if source is None else source[name]
    return row


def _agglomerates(
    joined: pd.DataFrame,
    found: Mapping[int, Row],
    sources: Mapping[int, Sequence[int]],
    touching: Mapping[int, Sequence[int]],
    highest: int,
) -> NDArray[np.int64]:
    """Number the agglomerate of each particle; `touching` names the corrected ones, `highest` is the last number in use."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        while number in parent:
            number = parent[number]
        return number

    def join(one: int, other: int) -> None:
        first, second = sorted((root(one), root(other)))
        if first != second:
            parent[second] = first

    own = dict(zip(joined["label"].tolist(), joined["agglomerate"].tolist(), strict=True))
    for label in touching:
        known = sorted(
            {int(found[source]["agglomerate"]) for source in sources.get(label, ()) if source in found}
        )
        if not known:
            highest += 1
            known = [highest]
        own[label] = known[0]
        for number in known[1:]:
            join(known[0], number)
    for label, others in touching.items():
        for other in others:
            join(own[label], own[other])
    return np.array([root(own[label]) for label in joined["label"].tolist()], np.int64)

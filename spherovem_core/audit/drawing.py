"""The draw of an audit's sample from a table of objects and the labels."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from spherovem_core.audit.places import Emptiness, PlaceFrame, draw_places
from spherovem_core.audit.sample import AuditSample, Box, PointUm, SampledObject, SampledPlace
from spherovem_core.audit.strata import draw_rows, object_strata
from spherovem_core.audit.unseen import Objects
from spherovem_core.errors import AuditError
from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS

MOST_OBJECTS, MOST_PLACES = 50, 20

DIAMETERS_ACROSS = {"cells": 2.0, "nuclei": 2.5, "nanoparticles": 8.0}
"""Usual diameters along the side of a frame: as many as leave the outline of one object clear."""

LEAST_SIDE_PX = 8

PointOf = Callable[[int, Box, PointUm], PointUm]
"""Function of a label, its bounding box and its centroid in µm that returns a point within the object."""


def draw_sample(
    kind: str,
    table: pd.DataFrame,
    *,
    shape: tuple[int, int, int],
    voxel_um: PointUm,
    emptiness: Callable[[PlaceFrame], Emptiness],
    suspicious: Collection[int] = (),
    point_of: PointOf = lambda label, box, centroid: centroid,
    fingerprint: str = "",
    seed: int = 0,
    most_objects: int = MOST_OBJECTS,
    most_places: int = MOST_PLACES,
) -> AuditSample:
    """Draw objects and places at random, stratified and reproducible.

    Parameters
    ----------
    kind
        Cells, nuclei or nanoparticles.
    table
        Table of the objects: ``label``, bounding boxes, centroids and ``volume_um3``.
    shape
        Shape of the label array.
    voxel_um
        Voxel size along z, y, x.
    emptiness
        Gives, for a division into frames, the score of the frames of a slice (`draw_places`).
    suspicious
        Labels more probably wrong than right; they are drawn more often.
    point_of
        Finds the point through which an object is shown.
    fingerprint
        Digest of labels and table.
    seed
        Seed of the draw. The same labels and seed give the same sample.
    most_objects, most_places
        Sizes of the sample; all are drawn where there are fewer.

    Raises
    ------
    AuditError
        If there are no objects.
    """
    if table.empty:
        raise AuditError(f"there are no {kind} to audit; the table of {kind} is empty")
    rng = np.random.default_rng([seed, 1])
    strata, names = object_strata(table, suspicious)
    rows = draw_rows(strata, names, most_objects, rng)
    frame = PlaceFrame(shape, _side_px(kind, table, shape, voxel_um))
    drawn, counts = draw_places(frame, emptiness(frame), most_places, rng)
    heights = (table["bbox_z1"] - table["bbox_z0"]).to_numpy(float)
    return AuditSample(
        kind=kind,
        seed=seed,
        fingerprint=fingerprint,
        objects=tuple(
            _object(number, table.iloc[row], int(strata[row]), point_of)
            for number, row in enumerate(rows.tolist(), start=1)
        ),
        places=tuple(
            SampledPlace(f"P{number:02d}", stratum, *frame.extent(index))
            for number, (stratum, index) in enumerate(drawn, start=1)
        ),
        object_strata=names,
        object_counts=tuple(np.bincount(strata, minlength=len(names)).tolist()),
        place_counts=counts,
        usual_slices=float(heights.mean()),
        usual_um3=float(table["volume_um3"].mean()),
        voxel_um=voxel_um,
        shape=shape,
        drawn=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def objects_of(sample: AuditSample, table: pd.DataFrame, suspicious: Collection[int] = ()) -> Objects:
    """Return all objects of a table with the strata of a sample.

    Raises
    ------
    AuditError
        If the strata of the sampled objects are others now: the list of suspects has changed.
    """
    strata, names = object_strata(table, suspicious)
    labels = table["label"].to_numpy(np.int64)
    of_label = dict(zip(labels.tolist(), strata.tolist(), strict=True))
    changed = [each.label for each in sample.objects if of_label.get(each.label) != each.stratum]
    if changed or names != sample.object_strata:
        raise AuditError(
            f"the strata of the {sample.kind} are others than those from which the sample was drawn, such as that of label "
            f"{changed[0] if changed else '(none)'}; draw another sample with --redraw"
        )
    return Objects(labels, strata, table["volume_um3"].to_numpy(float))


def _object(number: int, row: "pd.Series[float]", stratum: int, point_of: PointOf) -> SampledObject:
    z0, y0, x0, z1, y1, x1 = (int(row[name]) for name in BOX_COLUMNS)
    z, y, x = (float(row[name]) for name in CENTROID_COLUMNS)
    label, box = int(row["label"]), (z0, y0, x0, z1, y1, x1)
    return SampledObject(
        f"O{number:02d}", label, stratum, point_of(label, box, (z, y, x)), box, float(row["volume_um3"])
    )


def _side_px(kind: str, table: pd.DataFrame, shape: tuple[int, int, int], voxel_um: PointUm) -> int:
    diameter_um = float(np.cbrt(6 / np.pi * table["volume_um3"].median()))
    wanted = round(DIAMETERS_ACROSS[kind] * diameter_um / min(voxel_um[1:]))
    return int(np.clip(wanted, min(LEAST_SIDE_PX, *shape[1:]), max(shape[1:])))

"""Objects and particles of segmented phantoms with what is measured of them, and with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _review_bases import EDGE, FLOW_SPACING_NM, IN_PLACE, flows_of, masks_of
from numpy.typing import NDArray

from spherovem_core.label_statistics import CENTROID_COLUMNS, collect_label_statistics
from spherovem_core.nanoparticles import Particles, find_particles
from spherovem_core.parameters import ObjectParameters
from spherovem_core.review import ReviewLevel, examine_labels
from spherovem_core.review.suspects import examine_all, truncated_fractions
from spherovem_core.segmentation import PlacedVolume
from spherovem_core.shape import measure_labels
from spherovem_core.spacing import SpacingNm, voxel_volume_um3
from spherovem_core.spatial import distance_to_nucleus, measure_centroids, measure_membrane_gaps
from spherovem_core.synthetic.phantom import Phantom, make_phantom

CASES: dict[str, dict[str, Any]] = {
    "bulk": {"shape": (64, 176, 176), "spacing_nm": (120.0, 60.0, 60.0)},
    "edge": {"shape": (64, 176, 176), "spacing_nm": (120.0, 60.0, 60.0), **EDGE},
    "thick": {"shape": (32, 210, 210), "spacing_nm": (240.0, 50.0, 50.0), **EDGE},
    "iso": {"shape": (96, 128, 128), "spacing_nm": (80.0, 80.0, 80.0)},
}
"""Kinds of phantoms, which take turns; two of them are scenes with resin, a spheroid's surface and droplets."""

FIRST_SEED = 1000
LEAST_FRACTION = 0.5
"""Fraction of a particle that its cell holds at least (`min_parent_fraction`)."""
LEAST_UM: dict[str, float] = {"cells": 2.0, "nuclei": 1.0}
Labels = NDArray[np.uint32]


@dataclass(frozen=True)
class IntervalRows:
    """Rows of one or more phantoms.

    Attributes
    ----------
    objects
        Cells and nuclei that were found, with the truth.
    particles
        Particles, found and true.
    cells
        Cells as in the final table, with their particles and those of the true cell that they share most with.
    others
        Other objects that stand out, with the cell at their centroid.
    """

    objects: pd.DataFrame
    particles: pd.DataFrame
    cells: pd.DataFrame
    others: pd.DataFrame


def interval_rows(seed: int, folder: Path) -> IntervalRows:
    """Return the rows of a phantom, from files of an earlier call where there are such."""
    case = list(CASES)[seed % len(CASES)]
    names = [part.name for part in fields(IntervalRows)]
    places = [folder / f"{case}-{seed}-{what}.parquet" for what in names]
    if not all(place.exists() for place in places):
        folder.mkdir(parents=True, exist_ok=True)
        rows = _rows_of(case, seed)
        for place, name in zip(places, names, strict=True):
            getattr(rows, name).assign(case=case, seed=seed).to_parquet(place)
    return IntervalRows(*map(pd.read_parquet, places))


def joined(rows: Sequence[IntervalRows]) -> IntervalRows:
    """Join the rows of several phantoms."""
    names = [part.name for part in fields(IntervalRows)]
    return IntervalRows(
        *(pd.concat([getattr(each, name) for each in rows], ignore_index=True) for name in names)
    )


def _rows_of(case: str, seed: int) -> IntervalRows:
    settings = {"cell_diameter_um": 4.8, **CASES[case], "seed": FIRST_SEED + seed, **IN_PLACE}
    phantom = make_phantom(scenes=settings.pop("scenes", ()), **settings)
    flows = {kind: flows_of(phantom, kind) for kind in LEAST_UM}
    labels = {
        kind: masks_of(
            phantom,
            flows[kind],
            ObjectParameters(flow_spacing_nm=FLOW_SPACING_NM, min_diameter_um=LEAST_UM[kind]),
        )
        for kind in LEAST_UM
    }
    objects = pd.concat([_object_rows(kind, phantom, labels, flows[kind]) for kind in LEAST_UM])
    found = find_particles(phantom.image, phantom.spacing_nm)
    return IntervalRows(
        objects,
        particle_rows(phantom, labels, found),
        cell_rows(phantom, labels, flows["cells"]),
        other_rows(phantom, labels, found),
    )


def cell_rows(phantom: Phantom, labels: dict[str, Labels], flows: PlacedVolume) -> pd.DataFrame:
    """Measure cells as the final table has them, with confidence and shift, and name the true cell of each."""
    spacing = phantom.spacing_nm
    level = ReviewLevel(labels["cells"], spacing, image=phantom.image, nuclei=labels["nuclei"])
    review = examine_labels([level], flows=flows).confidence("cells", True)
    shape = measure_labels(labels["cells"], spacing)[
        ["label", "volume_um3", "surface_area_um2", "truncated_fraction"]
    ]
    match = _matches(labels["cells"], phantom.cells)[["true", "iou"]].reset_index()
    # Two cells that share most with the same true one: neither has a truth.
    match = match[~match["true"].duplicated(keep=False)]
    return shape.merge(review, on="label", how="left").merge(match, on="label", how="left")


def other_rows(phantom: Phantom, labels: dict[str, Labels], found: Particles) -> pd.DataFrame:
    """List the other objects with their cells, and the detection limit in each row."""
    others = found.others
    at = np.rint(others[list(CENTROID_COLUMNS)].to_numpy() * 1000 / np.array(phantom.spacing_nm))
    place = tuple(np.clip(at, 0, np.array(phantom.image.shape) - 1).astype(np.int64).T)
    return others.assign(
        parent_cell=labels["cells"][place].astype(np.int64),
        detection_limit_nm=found.mixture.detection_limit_nm or 0.0,
    )


def _object_rows(kind: str, phantom: Phantom, labels: dict[str, Labels], flows: PlacedVolume) -> pd.DataFrame:
    """Measure objects: volume, area, slope of the logit, and volume and area of the true object that each shares most with."""
    own, truth, spacing = labels[kind], getattr(phantom, kind), phantom.spacing_nm
    level = ReviewLevel(
        own, spacing, image=phantom.image, nuclei=labels["nuclei"] if kind == "cells" else None
    )
    statistics = collect_label_statistics(own)
    truncated = truncated_fractions(statistics, level)
    shape, true_shape = (measure_labels(each, spacing).set_index("label") for each in (own, truth))
    match, voxel = _matches(own, truth), voxel_volume_um3(spacing)
    rows = []
    for one in examine_all([level], statistics, flows):
        if one.label not in match.index or one.label not in shape.index:
            continue
        found, measured = match.loc[one.label], shape.loc[one.label]
        rows.append(
            {
                "kind": kind, "label": one.label, "iou": found["iou"], "slope": one.slope,
                "v": found["own"] * voxel, "vt": found["true_size"] * voxel,
                "area": measured["surface_area_um2"], "hmean": measured["mean_curvature_mean_per_um"],
                "at": true_shape["surface_area_um2"].get(found["true"], np.nan), "trunc": truncated.get(one.label, 0.0),
                "label_spacing": list(spacing), "flow_spacing": list(flows.spacing_nm),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def particle_rows(phantom: Phantom, labels: dict[str, Labels], found: Particles) -> pd.DataFrame:
    """Measure particles: volume and distance to the nucleus, found and true; all true ones have a row, also missed ones."""
    table = found.table.set_index("label")
    match = _matches(found.labels, phantom.nanoparticles)
    table["true"] = match["true"].reindex(table.index).fillna(0).astype(np.int64)
    measured = _distances(found.labels, labels["cells"], labels["nuclei"], phantom.spacing_nm)
    right = _distances(phantom.nanoparticles, phantom.cells, phantom.nuclei, phantom.spacing_nm)
    table = table.join(measured)
    table["parent_cell"] = table["cell"].where(table["parent_fraction"] >= LEAST_FRACTION, 0).fillna(0)
    depth = measure_centroids(
        table.reset_index(),
        labels["cells"],
        np.zeros(labels["cells"].shape, np.float32),
        phantom.spacing_nm,
    )
    table["membrane_gap_um"] = measure_membrane_gaps(depth, phantom.spacing_nm)["membrane_gap_um"].to_numpy()
    rows = table.reset_index().merge(
        phantom.particles[["label", "volume_um3", "parent_cell"]]
        .rename(columns={"label": "true", "volume_um3": "v_exact", "parent_cell": "true_parent"})
        .merge(
            right.add_prefix("true_").reset_index().rename(columns={"label": "true"}), on="true", how="left"
        ),
        on="true",
        how="outer",
    )
    # A cell that was found stands for the true one that it shares most with.
    cells = _matches(labels["cells"], phantom.cells)
    rows["parent_match"] = rows["cell"].map(cells["true"]).fillna(0).astype(np.int64)
    return rows.assign(
        noise=found.mixture.noise,
        spacing=[list(phantom.spacing_nm)] * len(rows),
        shape=[list(phantom.image.shape)] * len(rows),
    )


def _distances(particles: Labels, cells: Labels, nuclei: Labels, spacing: SpacingNm) -> pd.DataFrame:
    """Average the distance to the nucleus over the voxels of each particle in the cell that holds most of it."""
    distance, inside = distance_to_nucleus(nuclei, cells, spacing), particles > 0
    voxels = pd.DataFrame(
        {"label": particles[inside], "cell": cells[inside], "distance": distance[inside]}
    ).query("cell > 0")
    parts = voxels.groupby(["label", "cell"])["distance"].agg(["size", "mean", "min"]).reset_index()
    counts = np.bincount(particles[inside])
    parts["parent_fraction"] = parts["size"] / counts[parts["label"]]
    most = parts.sort_values("size", kind="stable").drop_duplicates("label", keep="last").set_index("label")
    return most.rename(columns={"mean": "distance", "min": "distance_min"})[
        ["cell", "parent_fraction", "distance", "distance_min"]
    ]


def _matches(labels: Labels, truth: Labels) -> pd.DataFrame:
    """Return, by label, the true object that it shares most voxels with, their sizes in voxels and what they share."""
    pairs, counts = np.unique(np.stack([labels.ravel(), truth.ravel()]), axis=1, return_counts=True)
    frame = pd.DataFrame({"label": pairs[0], "true": pairs[1], "common": counts}).astype(np.int64)
    frame["own"] = frame.groupby("label")["common"].transform("sum")
    frame["true_size"] = frame.groupby("true")["common"].transform("sum")
    frame = frame[(frame["label"] > 0) & (frame["true"] > 0)]
    frame["iou"] = frame["common"] / (frame["own"] + frame["true_size"] - frame["common"])
    return frame.sort_values("common", kind="stable").drop_duplicates("label", keep="last").set_index("label")

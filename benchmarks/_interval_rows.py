"""Objects and particles of segmented phantoms with what is measured of them, and with the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _review_bases import EDGE, FLOW_SPACING_NM, IN_PLACE, flows_of, masks_of
from numpy.typing import NDArray

from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.nanoparticles import find_particles
from spherovem_core.parameters import ObjectParameters
from spherovem_core.review import ReviewLevel
from spherovem_core.review.suspects import examine_all, truncated_fractions
from spherovem_core.segmentation import PlacedVolume
from spherovem_core.shape import measure_labels
from spherovem_core.spacing import SpacingNm, voxel_volume_um3
from spherovem_core.spatial import distance_to_nucleus
from spherovem_core.synthetic.phantom import Phantom, make_phantom

CASES: dict[str, dict[str, Any]] = {
    "bulk": {"shape": (64, 176, 176), "spacing_nm": (120.0, 60.0, 60.0)},
    "edge": {"shape": (64, 176, 176), "spacing_nm": (120.0, 60.0, 60.0), **EDGE},
    "thick": {"shape": (32, 210, 210), "spacing_nm": (240.0, 50.0, 50.0), **EDGE},
    "iso": {"shape": (96, 128, 128), "spacing_nm": (80.0, 80.0, 80.0)},
}
"""Kinds of phantoms, which take turns; two of them are scenes with resin, a spheroid's surface and droplets."""

FIRST_SEED = 1000
LEAST_UM: dict[str, float] = {"cells": 2.0, "nuclei": 1.0}
Labels = NDArray[np.uint32]


def interval_rows(seed: int, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return objects and particles of a phantom, from files of an earlier call where there are such."""
    case = list(CASES)[seed % len(CASES)]
    places = [folder / f"{case}-{seed}-{what}.parquet" for what in ("objects", "particles")]
    if not all(place.exists() for place in places):
        folder.mkdir(parents=True, exist_ok=True)
        for place, rows in zip(places, _rows_of(case, seed), strict=True):
            rows.assign(case=case, seed=seed).to_parquet(place)
    return pd.read_parquet(places[0]), pd.read_parquet(places[1])


def _rows_of(case: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
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
    return objects, _particle_rows(phantom, labels)


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


def _particle_rows(phantom: Phantom, labels: dict[str, Labels]) -> pd.DataFrame:
    """Measure particles: volume and distance to the nucleus, found and true; all true ones have a row, also missed ones."""
    found = find_particles(phantom.image, phantom.spacing_nm)
    table = found.table.set_index("label")
    match = _matches(found.labels, phantom.nanoparticles)
    table["true"] = match["true"].reindex(table.index).fillna(0).astype(np.int64)
    measured = _distances(found.labels, labels["cells"], labels["nuclei"], phantom.spacing_nm)
    right = _distances(phantom.nanoparticles, phantom.cells, phantom.nuclei, phantom.spacing_nm)
    table = table.join(measured)
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
    return rows.assign(noise=found.mixture.noise, spacing=[list(phantom.spacing_nm)] * len(rows))


def _distances(particles: Labels, cells: Labels, nuclei: Labels, spacing: SpacingNm) -> pd.DataFrame:
    """Average the distance to the nucleus over the voxels of each particle in the cell that holds most of it."""
    distance, inside = distance_to_nucleus(nuclei, cells, spacing), particles > 0
    voxels = pd.DataFrame(
        {"label": particles[inside], "cell": cells[inside], "distance": distance[inside]}
    ).query("cell > 0")
    parts = voxels.groupby(["label", "cell"])["distance"].agg(["size", "mean", "min"]).reset_index()
    most = parts.sort_values("size", kind="stable").drop_duplicates("label", keep="last").set_index("label")
    return most.rename(columns={"mean": "distance", "min": "distance_min"})[
        ["cell", "distance", "distance_min"]
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

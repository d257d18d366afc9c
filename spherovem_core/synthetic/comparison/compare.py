"""Accuracy figures of a run on a phantom."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.segmentation import match_labels
from spherovem_core.spacing import voxel_volume_um3
from spherovem_core.spatial import distance_to_nucleus
from spherovem_core.synthetic.comparison.frames import registered_to_ideal, sample_truth, volumes_in_frame
from spherovem_core.synthetic.comparison.overlaps import best_partner, count_overlaps
from spherovem_core.synthetic.comparison.run_results import LabelImage, Measured
from spherovem_core.synthetic.misplacement import measure_misplacement
from spherovem_core.synthetic.phantom import Phantom


def compare_with_truth(truth: Phantom, measured: Measured) -> dict[str, float]:
    """Compare a run on a phantom with the truth, in the frame that was measured.

    Returns
    -------
    dict
        Figures by name, NaN where there is nothing to compare:

        - ``registration_residual_px`` (slice to slice), ``registration_jitter_px`` and ``registration_drift_px``, defined
          by `spherovem_core.synthetic.misplacement.Misplacement`;
        - for cells and nuclei ``_count_true``, ``_count_measured``, ``_precision``, ``_recall`` and ``_f1`` at an
          intersection over union of 0.5, and ``_volume_error_median`` (relative, of matched objects);
        - ``nanoparticles_dice``, ``nanoparticles_count_true`` and ``nanoparticles_count_measured``;
        - ``nanoparticles_recall``: the fraction of the true particles that a measured one overlaps, and
          ``nanoparticles_precision``: the fraction of the measured ones that overlap a true one;
        - ``others_as_nanoparticles``: number of measured particles that lie on another body (droplet, lysosome, chromatin);
        - ``nanoparticles_outside_specimen``: number of measured particles, overlapping no true one, that lie where the truth
          has resin or unusable pixels;
        - ``outside_dice``: agreement of the specimen mask with the truth on what is no usable specimen; NaN without a mask or
          where neither has any;
        - ``parent_cell_right``: among particles that overlap a true one, the fraction with the right parent cell (or
          rightly none). A measured cell stands for the true cell that it overlaps most;
        - ``nucleus_cell_right``: the same for nuclei;
        - ``distance_error_median_um``: median difference of the mean distance to the nucleus, where both have one.
    """
    maps = registered_to_ideal(measured, truth.transforms)
    misplacement = measure_misplacement(measured.transforms, truth.transforms, truth.image.shape[1:])
    truth = _as_shown(truth, measured.shown)
    cells = _sampled(truth.cells, maps, measured.cells, truth)
    nuclei = _sampled(truth.nuclei, maps, measured.nuclei, truth)
    particles = _sampled(truth.nanoparticles, maps, measured.nanoparticles, truth)
    others = _sampled(truth.others, maps, measured.nanoparticles, truth)
    # Codes from 1, since samples outside the ideal frame are 0.
    specimen = _sampled(truth.specimen.astype(np.uint32) + 1, maps, measured.nanoparticles, truth)
    return {
        "registration_residual_px": misplacement.step_px,
        "registration_jitter_px": misplacement.jitter_px,
        "registration_drift_px": misplacement.drift_px,
        **_objects("cells", truth.cells, truth.cell_volumes_um3, cells, maps, measured, truth),
        **_objects("nuclei", truth.nuclei, truth.nucleus_volumes_um3, nuclei, maps, measured, truth),
        **_particles(measured.nanoparticles.labels, particles),
        **_false_particles(measured.nanoparticles.labels, particles, others, specimen == 1),
        **_outside(truth, maps, measured.specimen),
        **_relations(truth, measured, cells, nuclei, particles),
    }


def _as_shown(truth: Phantom, shown: NDArray[np.int64]) -> Phantom:
    """Take the true labels of the acquired slices that the registered image shows, one by one."""
    if np.array_equal(shown, np.arange(len(truth.cells))):
        return truth
    labels = ("cells", "nuclei", "nanoparticles", "others", "specimen")
    return replace(truth, **{name: getattr(truth, name)[shown] for name in labels})


def _sampled(
    labels: NDArray[np.uint32], maps: NDArray[np.float64], grid: LabelImage, truth: Phantom
) -> NDArray[np.uint32]:
    return sample_truth(labels, maps, grid, truth.spacing_nm)


def _objects(
    kind: str,
    ideal: NDArray[np.uint32],
    analytic_um3: NDArray[np.float64],
    sampled: NDArray[np.uint32],
    maps: NDArray[np.float64],
    measured: Measured,
    truth: Phantom,
) -> dict[str, float]:
    """Compare detection and volume of cells or nuclei; objects below the smallest diameter are ignored."""
    image: LabelImage = getattr(measured, kind)
    smallest = np.pi / 6 * measured.min_diameter_um[kind] ** 3 / voxel_volume_um3(image.spacing_nm)
    min_voxels = int(np.ceil(smallest))
    match = match_labels(sampled, image.labels, iou=0.5, min_voxels=min_voxels)
    volumes = volumes_in_frame(analytic_um3, ideal, sampled, maps, image.spacing_nm, truth.spacing_nm)
    table = measured.tables[kind].set_index("label")["volume_um3"]
    errors = [abs(float(table[found]) / volumes[true - 1] - 1) for true, found in match.matches.tolist()]
    return {
        f"{kind}_count_true": int((np.bincount(sampled.ravel())[1:] >= max(min_voxels, 1)).sum()),
        f"{kind}_count_measured": len(table),
        f"{kind}_precision": match.precision,
        f"{kind}_recall": match.recall,
        f"{kind}_f1": match.f1,
        f"{kind}_volume_error_median": _median(errors),
    }


def _particles(labels: NDArray[np.uint32], truth: NDArray[np.uint32]) -> dict[str, float]:
    both = int(((labels > 0) & (truth > 0)).sum())
    total = int((labels > 0).sum()) + int((truth > 0).sum())
    return {
        "nanoparticles_count_true": len(np.unique(truth[truth > 0])),
        "nanoparticles_count_measured": len(np.unique(labels[labels > 0])),
        "nanoparticles_dice": 2 * both / total if total else float("nan"),
    }


def _false_particles(
    labels: NDArray[np.uint32],
    truth: NDArray[np.uint32],
    others: NDArray[np.uint32],
    outside: NDArray[np.bool_],
) -> dict[str, float]:
    """Count the particles that overlap a true one, and what those show that overlap none."""
    overlaps = count_overlaps(labels, truth)
    measured = np.unique(labels[labels > 0])
    true = np.unique(truth[truth > 0])
    false = np.setdiff1d(measured, overlaps["first"])
    on_others = np.intersect1d(false, labels[others > 0])
    return {
        "nanoparticles_recall": overlaps["second"].nunique() / len(true) if len(true) else float("nan"),
        "nanoparticles_precision": 1 - len(false) / len(measured) if len(measured) else float("nan"),
        "others_as_nanoparticles": len(on_others),
        "nanoparticles_outside_specimen": len(
            np.setdiff1d(np.intersect1d(false, labels[outside]), on_others)
        ),
    }


def _outside(truth: Phantom, maps: NDArray[np.float64], mask: LabelImage | None) -> dict[str, float]:
    """Compare the complement of the specimen mask with that of the true specimen."""
    if mask is None:
        return {"outside_dice": float("nan")}
    true = _sampled(truth.specimen.astype(np.uint32) + 1, maps, mask, truth)
    seen = true > 0
    outside, expected = (mask.labels != 1) & seen, true == 1
    total = int(outside.sum()) + int(expected.sum())
    return {"outside_dice": 2 * int((outside & expected).sum()) / total if total else float("nan")}


def _nuclei_in_their_cell(
    truth: Phantom, measured: Measured, true_cell: "pd.Series[int]", nuclei: NDArray[np.uint32]
) -> float:
    true_nucleus = best_partner(count_overlaps(measured.nuclei.labels, nuclei))
    table = measured.tables["nuclei"].set_index("label")
    table = table[table.index.isin(true_nucleus.index)]
    stands_for = table["parent_cell"].map(true_cell).where(table["parent_cell"] > 0, 0)
    wanted = truth.nucleus_parents[true_nucleus[table.index].to_numpy(dtype=np.int64) - 1]
    return float((stands_for.to_numpy() == wanted).mean()) if len(table) else float("nan")


def _relations(
    truth: Phantom,
    measured: Measured,
    cells: NDArray[np.uint32],
    nuclei: NDArray[np.uint32],
    particles: NDArray[np.uint32],
) -> dict[str, float]:
    true_cell = best_partner(count_overlaps(measured.cells.labels, cells))
    true_particle = best_partner(count_overlaps(measured.nanoparticles.labels, particles))
    table = measured.tables["nanoparticles"].set_index("label")
    table = table[table.index.isin(true_particle.index)]
    partner = true_particle[table.index].to_numpy(dtype=np.int64) - 1
    stands_for = table["parent_cell"].map(true_cell).where(table["parent_cell"] > 0, 0)
    right = stands_for.to_numpy() == truth.nanoparticle_parents[partner]
    errors = np.abs(table["distance_to_nucleus_um"].to_numpy(dtype=float) - _true_distances(truth)[partner])
    return {
        "parent_cell_right": float(right.mean()) if len(right) else float("nan"),
        "nucleus_cell_right": _nuclei_in_their_cell(truth, measured, true_cell, nuclei),
        "distance_error_median_um": _median(errors[np.isfinite(errors)]),
    }


def _true_distances(truth: Phantom) -> NDArray[np.float64]:
    """Average the distance to the nucleus in µm over the voxels of each true particle, at index label - 1."""
    voxels = truth.nanoparticles > 0
    labels = truth.nanoparticles[voxels]
    distance = distance_to_nucleus(truth.nuclei, truth.cells, truth.spacing_nm)[voxels]
    means = pd.Series(distance).groupby(labels).mean()
    return np.asarray(means.reindex(range(1, len(truth.nanoparticle_parents) + 1)), dtype=np.float64)


def _median(values: Any) -> float:
    return float(np.median(values)) if len(values) else float("nan")

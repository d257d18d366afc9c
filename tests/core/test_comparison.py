"""Comparison with the truth: frames, overlaps, and figures with a known answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.synthetic.comparison import LabelImage, Measured, compare_with_truth
from spherovem_core.synthetic.comparison.frames import registered_to_ideal, sample_truth, volumes_in_frame
from spherovem_core.synthetic.comparison.overlaps import best_partner, count_overlaps
from spherovem_core.synthetic.phantom import Phantom, make_phantom

SPACING = (120.0, 40.0, 40.0)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(shape=(24, 128, 120), spacing_nm=SPACING, seed=5)


def perfect(phantom: Phantom) -> Measured:
    """Make the results of a run without error, whose registered frame is the ideal frame."""
    parents = {"parent_cell": phantom.nanoparticle_parents, "distance_to_nucleus_um": np.nan}
    return Measured(
        transforms=phantom.transforms,
        crop_origin_px=(0, 0),
        cells=LabelImage(phantom.cells, SPACING, (0, 0, 0)),
        nuclei=LabelImage(phantom.nuclei, SPACING, (0, 0, 0)),
        nanoparticles=LabelImage(phantom.nanoparticles, SPACING, (0, 0, 0)),
        tables={
            "cells": table(volume_um3=phantom.cell_volumes_um3),
            "nuclei": table(volume_um3=phantom.nucleus_volumes_um3, parent_cell=phantom.nucleus_parents),
            "nanoparticles": table(label=np.arange(1, len(phantom.nanoparticle_parents) + 1), **parents),
        },
        min_diameter_um={"cells": 1.0, "nuclei": 1.0},
    )


def table(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    return frame if "label" in frame else frame.assign(label=np.arange(1, len(frame) + 1))


def shift(y: float, x: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0.0, y], [0.0, 1.0, x]])


def test_a_perfect_run_has_no_error(phantom: Phantom) -> None:
    figures = compare_with_truth(phantom, perfect(phantom))
    # Only rounding is left.
    assert figures["registration_residual_px"] == pytest.approx(0, abs=1e-6)
    for name in (
        "cells_f1",
        "nuclei_f1",
        "nanoparticles_dice",
        "nanoparticles_precision",
        "nanoparticles_recall",
        "parent_cell_right",
        "nucleus_cell_right",
    ):
        assert figures[name] == 1
    assert figures["cells_volume_error_median"] == pytest.approx(0, abs=1e-12)
    assert figures["nanoparticles_count_true"] == figures["nanoparticles_count_measured"]
    assert figures["cells_count_true"] <= len(phantom.cell_volumes_um3)


def test_slices_that_were_moved_along_z_are_compared_with_the_truth_of_those_they_show(
    phantom: Phantom,
) -> None:
    places = np.linspace(0.0, 23.0, 24) + 1.2 * np.sin(np.arange(24) / 4.0) * (np.arange(24) % 23 > 0)
    slices = RegisteredSlices(places, tuple(((z, 1.0),) for z in range(24)))
    shown = slices.nearest()
    assert (shown != np.arange(24)).sum() > 5
    straight = perfect(phantom)
    kinds = ("cells", "nuclei", "nanoparticles")
    moved = {kind: replace(getattr(straight, kind), labels=getattr(phantom, kind)[shown]) for kind in kinds}
    figures = compare_with_truth(phantom, replace(straight, **moved, slices=slices))
    for name in ("cells_f1", "nuclei_f1", "nanoparticles_dice", "nanoparticles_recall", "parent_cell_right"):
        assert figures[name] == 1
    # Compared slice by slice with those of the same number, they do not fit.
    assert compare_with_truth(phantom, replace(straight, **moved))["nanoparticles_dice"] < 0.8


def test_every_kind_of_error_lowers_its_own_figure(phantom: Phantom) -> None:
    measured = perfect(phantom)
    sizes = np.bincount(phantom.cells.ravel())
    largest = int(sizes[1:].argmax()) + 1
    cells = measured.tables["cells"].assign(volume_um3=measured.tables["cells"]["volume_um3"] * 1.1)
    particles = measured.tables["nanoparticles"].copy()
    particles.loc[0, "parent_cell"] += 1
    worse = replace(
        measured,
        cells=LabelImage(
            np.where(phantom.cells == largest, 0, phantom.cells).astype(np.uint32), SPACING, (0, 0, 0)
        ),
        tables={**measured.tables, "cells": cells, "nanoparticles": particles},
    )
    nuclei = measured.tables["nuclei"].copy()
    elsewhere = int(np.flatnonzero(phantom.nucleus_parents != largest)[0])
    nuclei.loc[elsewhere, "parent_cell"] = 0
    worse = replace(worse, tables={**worse.tables, "nuclei": nuclei})
    figures = compare_with_truth(phantom, worse)
    lost = 1 + (phantom.nucleus_parents == largest).sum()
    assert figures["nucleus_cell_right"] == pytest.approx(1 - lost / len(nuclei))
    true = figures["cells_count_true"]
    assert figures["cells_precision"] == 1
    assert figures["cells_recall"] == pytest.approx((true - 1) / true)
    assert figures["cells_volume_error_median"] == pytest.approx(0.1)
    in_lost_cell = (phantom.nanoparticle_parents[1:] == largest).sum()
    wrong = 1 + in_lost_cell
    assert figures["parent_cell_right"] == pytest.approx(1 - wrong / len(particles))


def test_dice_counts_voxels(phantom: Phantom) -> None:
    half = phantom.nanoparticles.copy()
    voxels = np.argwhere(half > 0)
    for z, y, x in voxels[::2]:
        half[z, y, x] = 0
    measured = replace(perfect(phantom), nanoparticles=LabelImage(half, SPACING, (0, 0, 0)))
    left = len(voxels) - len(voxels[::2])
    expected = 2 * left / (left + len(voxels))
    assert compare_with_truth(phantom, measured)["nanoparticles_dice"] == pytest.approx(expected)


def test_false_particles_are_counted_by_what_they_show(phantom: Phantom) -> None:
    free = np.argwhere((phantom.nanoparticles == 0) & (phantom.cells > 0))[:: len(phantom.cells) * 200][:5]
    found, others, specimen = phantom.nanoparticles.copy(), phantom.others.copy(), phantom.specimen.copy()
    count = int(found.max())
    for number, (z, y, x) in enumerate(free.tolist(), start=count + 1):
        found[z, y, x] = number
    others[tuple(free[0])] = 1
    specimen[tuple(free[1])] = specimen[tuple(free[2])] = 0
    lost = found == 1
    found[lost] = 0
    truth = replace(phantom, others=others, specimen=specimen)
    extra = pd.DataFrame(
        {"label": np.arange(count + 1, count + 6), "parent_cell": 0, "distance_to_nucleus_um": np.nan}
    )
    measured = perfect(phantom)
    tables = {**measured.tables, "nanoparticles": pd.concat([measured.tables["nanoparticles"], extra])}
    measured = replace(measured, nanoparticles=LabelImage(found, SPACING, (0, 0, 0)), tables=tables)
    figures = compare_with_truth(truth, measured)
    assert figures["others_as_nanoparticles"] == 1
    assert figures["nanoparticles_outside_specimen"] == 2
    assert figures["nanoparticles_precision"] == pytest.approx((count - 1) / (count + 4))
    assert figures["nanoparticles_recall"] == pytest.approx((count - 1) / count)


def test_the_specimen_mask_is_compared_on_its_own_grid(phantom: Phantom) -> None:
    specimen = phantom.specimen.copy()
    specimen[:, :, :40] = 0
    truth = replace(phantom, specimen=specimen)
    # Voxels of 2 x 2 pixels; the mask says that 30 columns are resin, of which the truth has 40.
    codes = np.ones((24, 64, 60), np.uint32)
    codes[:, :, :15] = 0
    mask = LabelImage(codes, (120.0, 80.0, 80.0), (0.0, 20.0, 20.0))
    measured = replace(perfect(phantom), transforms=np.stack([shift(0, 0)] * 24), specimen=mask)
    truth = replace(truth, transforms=np.stack([shift(0, 0)] * 24))
    assert compare_with_truth(truth, measured)["outside_dice"] == pytest.approx(2 * 15 / (15 + 20))
    assert np.isnan(compare_with_truth(truth, replace(measured, specimen=None))["outside_dice"])


def test_maps_undo_jitter_and_crop() -> None:
    truth = np.stack([shift(3, -2), shift(-1, 5)])
    estimated = np.stack([shift(3.5, -2), shift(-0.5, 5)])
    measured = Measured(
        estimated, (10, 20), *([LabelImage(np.zeros((2, 4, 4), np.uint32), SPACING, (0, 0, 0))] * 3), {}, {}
    )
    np.testing.assert_allclose(registered_to_ideal(measured, truth), np.stack([shift(10.5, 20)] * 2))


def test_truth_is_sampled_at_the_voxel_centres_of_a_coarser_grid() -> None:
    labels = np.zeros((2, 12, 12), np.uint32)
    labels[:, 4:8, 6:10] = 7
    # The centre of a voxel of 2 x 2 pixels lies half a pixel beyond its first pixel.
    grid = LabelImage(np.zeros((2, 6, 6), np.uint32), (120, 80, 80), (0, 20, 20))
    sampled = sample_truth(labels, np.stack([shift(0.2, 0.2)] * 2), grid, SPACING)
    expected = np.zeros((2, 6, 6), np.uint32)
    expected[:, 2:4, 3:5] = 7
    np.testing.assert_array_equal(sampled, expected)


def test_samples_outside_the_ideal_frame_are_background() -> None:
    labels = np.ones((1, 4, 4), np.uint32)
    grid = LabelImage(np.zeros((1, 4, 4), np.uint32), SPACING, (0, 0, 0))
    sampled = sample_truth(labels, np.stack([shift(-2, 3)]), grid, SPACING)
    assert sampled[0, 2:, 0].all()
    assert sampled.sum() == 2


def test_the_crop_reduces_the_true_volume() -> None:
    ideal = np.zeros((2, 8, 8), np.uint32)
    ideal[:, :4, :] = 1
    ideal[:, 4:, :] = 2
    volumes = volumes_in_frame(
        np.array([10.0, 20.0]), ideal, ideal[:, 2:, :], np.stack([shift(2, 0)] * 2), SPACING, SPACING
    )
    np.testing.assert_allclose(volumes, [5.0, 20.0])


def test_the_best_partner_overlaps_most() -> None:
    first = np.array([1, 1, 1, 2, 2, 3, 0], np.uint32)
    second = np.array([9, 9, 4, 5, 3, 0, 1], np.uint32)
    overlaps = count_overlaps(first, second)
    assert overlaps.to_numpy().tolist() == [[1, 4, 1], [1, 9, 2], [2, 3, 1], [2, 5, 1]]
    assert best_partner(overlaps).to_dict() == {1: 9, 2: 3}

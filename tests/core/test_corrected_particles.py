"""Rows of corrected particles and their agglomerates."""

import numpy as np
import pandas as pd
import pytest

from spherovem_core.nanoparticles.agglomerates import agglomerate_table, table_by_number
from spherovem_core.nanoparticles.corrected_particles import correct_particle_table

SPACING_NM = (50.0, 10.0, 10.0)


def particles() -> pd.DataFrame:
    """Six particles; 2 and 3 are one agglomerate, 5 and 6 another."""
    count = 6
    boxes = {f"bbox_{axis}{end}": np.arange(count) * 10 + 3 * end for end in (0, 1) for axis in "zyx"}
    return pd.DataFrame(
        {
            "label": np.arange(1, count + 1, dtype=np.uint32),
            **boxes,
            "centroid_z_um": np.arange(count) * 0.5 + 0.05,
            "centroid_y_um": np.arange(count) * 0.1 + 0.01,
            "centroid_x_um": np.arange(count) * 0.1 + 0.01,
            "voxel_count": np.array([27, 30, 20, 27, 27, 27]),
            "volume_um3": np.linspace(1e-4, 2e-4, count),
            "equivalent_diameter_um": np.cbrt(6 / np.pi * np.linspace(1e-4, 2e-4, count)),
            "mean_intensity": np.linspace(200.0, 210.0, count),
            "contrast": np.linspace(90.0, 95.0, count),
            "kind": "nanoparticle",
            "population": np.array([1, 1, 2, 1, 1, 1]),
            "confidence": np.linspace(0.9, 0.95, count),
            "agglomerate": np.array([1, 2, 2, 3, 4, 4]),
            "place": "specimen",
        }
    )


def block(z: int, y: int, x: int) -> np.ndarray:
    return np.add(np.argwhere(np.ones((2, 4, 5), bool)), (z, y, x))


def test_rows_that_nothing_touched_stay_bit_for_bit() -> None:
    before = particles()
    after = correct_particle_table(before, [1, 4, 5, 6], {}, {}, {}, SPACING_NM)
    agglomerates = table_by_number(after)
    expected = before[before["label"].isin([1, 4, 5, 6])].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, expected)
    whole = agglomerate_table(before, before["agglomerate"].to_numpy())
    expected = whole[whole["label"] != 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(agglomerates, expected)


def test_merged_particle_has_the_volume_of_its_voxels_and_the_signal_of_the_largest() -> None:
    before = particles()
    after = correct_particle_table(
        before, [1, 2, 4, 5, 6], {2: block(3, 4, 5)}, {2: (2, 3)}, {2: ()}, SPACING_NM
    )
    agglomerates = table_by_number(after)
    row = after.set_index("label").loc[2]
    assert (row["voxel_count"], row["bbox_z0"], row["bbox_x1"]) == (40, 3, 10)
    assert row["volume_um3"] == pytest.approx(40 * 50 * 10 * 10 * 1e-9)
    assert (row["centroid_z_um"], row["centroid_x_um"]) == pytest.approx((3.5 * 0.05, 7 * 0.01))
    signal = ["contrast", "population", "confidence", "mean_intensity"]
    assert row[signal].tolist() == before.set_index("label").loc[2, signal].tolist()
    assert row["agglomerate"] == 2
    assert agglomerates.set_index("label").loc[2, "particle_count"] == 1
    assert after.dtypes.to_dict() == before.dtypes.to_dict()


def test_added_particle_has_no_population_and_joins_what_it_touches() -> None:
    after = correct_particle_table(
        particles(), [1, 2, 3, 4, 5, 6, 300], {300: block(0, 0, 0)}, {300: ()}, {300: [4, 5]}, SPACING_NM
    )
    agglomerates = table_by_number(after)
    rows = after.set_index("label")
    assert rows.loc[300, "population"] == 0
    assert rows.loc[300, ["contrast", "confidence", "mean_intensity"]].isna().all()
    assert rows.loc[[4, 5, 6, 300], "agglomerate"].tolist() == [3, 3, 3, 3]
    assert agglomerates["label"].tolist() == [1, 2, 3]
    assert agglomerates["particle_count"].tolist() == [1, 2, 4]


def test_without_particles_left_both_tables_are_empty() -> None:
    after = correct_particle_table(particles(), [], {}, {}, {}, SPACING_NM)
    agglomerates = table_by_number(after)
    assert len(after) == len(agglomerates) == 0
    assert after.dtypes.to_dict() == particles().dtypes.to_dict()

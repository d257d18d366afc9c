"""Suspects of a small tissue: planted errors come first, with place and remedy, whatever sources there are."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from review_scenes import SPACING, Tissue, divided, merged, neighbours, tissue

from spherovem_core.review import ReviewLevel, find_particle_suspects, find_suspects, without_accepted
from spherovem_core.review.suspects import COLUMNS


@pytest.fixture(scope="module")
def scene() -> Tissue:
    return tissue()


def first(suspects: pd.DataFrame) -> "pd.Series[object]":
    return suspects.iloc[0]


def label_at(labels: np.ndarray, row: "pd.Series[object]", prefix: str) -> int:
    place = [float(row[f"{prefix}_{axis}_um"]) * 1000 for axis in "zyx"]
    return int(labels[tuple(np.rint(np.array(place) / SPACING).astype(int))])


SOURCES = [
    pytest.param(True, True, True, id="image, nuclei and flows"),
    pytest.param(True, False, False, id="image alone"),
    pytest.param(False, False, True, id="flows alone"),
]


@pytest.mark.parametrize(("image", "nuclei", "flows"), SOURCES)
def test_joined_neighbours_are_to_be_split_at_their_contact(scene, image, nuclei, flows):
    labels, joined = merged(scene)
    level = scene.level(labels, image=image, nuclei=nuclei)
    suspects = find_suspects([level], flows=scene.flows if flows else None)
    row = first(suspects)
    assert (row["label"], row["operation"]) == (joined, "split")
    seeds = {label_at(scene.cells, row, "seed_1"), label_at(scene.cells, row, "seed_2")}
    assert seeds == set(neighbours(scene))
    assert label_at(labels, row, "centroid") == joined


@pytest.mark.parametrize(("image", "nuclei", "flows"), SOURCES)
@pytest.mark.parametrize("gap", [False, True])
def test_parts_of_a_cell_are_to_be_merged(scene, image, nuclei, flows, gap):
    labels, parts = divided(scene, 0.35, (0.5, 1.0, -0.7), gap=gap)
    level = scene.level(labels, image=image, nuclei=nuclei)
    suspects = find_suspects([level], flows=scene.flows if flows else None)
    row = first(suspects)
    assert row["operation"] == "merge"
    assert {row["label"], row["other_label"]} == set(parts)
    assert {label_at(labels, row, "seed_1"), label_at(labels, row, "seed_2")} == set(parts)


def test_labels_without_errors_have_no_probable_suspect(scene):
    suspects = find_suspects([scene.level(scene.cells)], flows=scene.flows)
    assert not (suspects["score"] > 0).any(), suspects[["label", "operation", "reason", "score"]]


def test_numbers_of_labels_do_not_matter(scene):
    labels, _ = divided(scene, 0.4, (1.0, 0.3, 0.2))
    count = int(labels.max())
    renamed = np.concatenate([[0], np.random.default_rng(0).permutation(count) + 1]).astype(np.uint32)
    one = find_suspects([scene.level(labels)], flows=scene.flows)
    other = find_suspects([scene.level(renamed[labels])], flows=scene.flows)
    np.testing.assert_allclose(np.sort(one["score"]), np.sort(other["score"]), atol=1e-6)
    assert {int(renamed[n]) for n in one["label"].head(1)} <= set(other[["label", "other_label"]].iloc[0])


def test_workers_do_not_change_the_table(scene):
    labels, _ = merged(scene)
    alone = find_suspects([scene.level(labels)], flows=scene.flows)
    with ThreadPoolExecutor(3) as executor:
        together = find_suspects([scene.level(labels)], flows=scene.flows, executor=executor)
    pd.testing.assert_frame_equal(alone, together)


def test_a_suspect_is_listed_once(scene):
    labels, (cell, _) = divided(scene, 0.3, (0.0, 1.0, 0.0))
    places = np.argwhere(labels == cell)
    labels[tuple(places[places[:, 2] > np.quantile(places[:, 2], 0.6)].T)] = labels.max() + 1
    suspects = find_suspects([scene.level(labels)], flows=scene.flows)
    assert suspects["label"].is_unique
    assert suspects["rank"].tolist() == list(range(1, len(suspects) + 1))
    assert tuple(suspects.columns) == COLUMNS
    assert suspects["score"].is_monotonic_decreasing


def test_an_accepted_object_is_not_shown_again(scene):
    labels, joined = merged(scene)
    before = find_suspects([scene.level(labels)], flows=scene.flows)
    place = before.loc[0, ["centroid_z_um", "centroid_y_um", "centroid_x_um"]].tolist()
    outside = (-5.0, 0.0, 0.0)
    after = find_suspects([scene.level(labels)], flows=scene.flows, accepted=[place, outside])
    assert joined in set(before["label"])
    assert joined not in set(after["label"]) | set(after["other_label"])


def test_an_object_in_two_pieces_is_to_be_split_between_them(scene):
    labels = scene.cells.copy()
    one = neighbours(scene)[0]
    far = int(np.linalg.norm(scene.centres - scene.centres[one - 1], axis=1).argmax()) + 1
    labels[labels == far] = one
    row = first(find_suspects([scene.level(labels)], flows=scene.flows))
    assert (row["label"], row["operation"]) == (one, "split")
    assert "in pieces" in row["reason"]
    assert {label_at(scene.cells, row, f"seed_{n}") for n in (1, 2)} == {one, far}


def test_a_coarser_level_of_the_pyramid_finds_the_same(scene, monkeypatch):
    labels, joined = merged(scene)
    fine = scene.level(labels)
    coarse = ReviewLevel(
        labels[:, ::2, ::2],
        (120.0, 120.0, 120.0),
        image=scene.image[:, ::2, ::2],
        nuclei=scene.nuclei[:, ::2, ::2],
    )
    monkeypatch.setattr("spherovem_core.review.suspects.VOXELS_ACROSS", 8)
    row = first(find_suspects([fine, coarse], flows=scene.flows))
    assert (row["label"], row["operation"]) == (joined, "split")


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.zeros((4, 5, 6), np.uint32), id="none"),
        pytest.param(np.ones((4, 5, 6), np.uint32), id="one fills the volume"),
        pytest.param(np.eye(4, dtype=np.uint32)[:, :, None] * np.ones(6, np.uint32), id="thin"),
        pytest.param(np.arange(120, dtype=np.uint32).reshape(4, 5, 6), id="single voxels"),
    ],
)
def test_degenerate_labels_give_a_table(labels):
    suspects = find_suspects([ReviewLevel(labels, SPACING, image=np.zeros(labels.shape, np.uint8))])
    assert tuple(suspects.columns) == COLUMNS
    assert np.isfinite(suspects["score"]).all()


def test_a_nucleus_outside_cells_is_a_suspect(scene):
    table = pd.DataFrame({"label": np.unique(scene.nuclei)[1:]})
    table["parent_cell"], table["parent_fraction"] = table["label"], 1.0
    table.loc[3, "parent_cell"] = 0
    table.loc[4, "parent_fraction"] = 0.6
    level = replace(scene.level(scene.nuclei, nuclei=False))
    suspects = find_suspects([level], table=table).set_index("label")
    assert "in no cell" in suspects.loc[table.loc[3, "label"], "reason"]
    assert "in two cells" in suspects.loc[table.loc[4, "label"], "reason"]


def particles() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    count = 30
    low = rng.integers(10, 80, (count, 3))
    sides = np.tile([3, 8, 8], (count, 1))
    volume = np.full(count, 0.035) * rng.uniform(0.9, 1.1, count)
    table = pd.DataFrame({"label": np.arange(1, count + 1, dtype=np.uint32)})
    table[["bbox_z0", "bbox_y0", "bbox_x0"]] = low
    table[["bbox_z1", "bbox_y1", "bbox_x1"]] = low + sides
    table[["centroid_z_um", "centroid_y_um", "centroid_x_um"]] = (low + sides / 2) * np.array(SPACING) / 1000
    return table.assign(volume_um3=volume, voxel_count=100, confidence=0.97, population=1, contrast=150.0)


def test_doubtful_and_long_particles_come_first():
    table = particles()
    table.loc[5, "confidence"] = 0.3
    table.loc[9, "bbox_x1"] += 12
    table.loc[9, "confidence"] = 0.8
    suspects = find_particle_suspects(table, SPACING, (200, 200, 200)).set_index("label")
    assert set(suspects.index[:2]) == {6, 10}
    assert suspects.loc[6, "operation"] == "delete"
    assert suspects.loc[10, "operation"] == "split"
    assert suspects.loc[10, "seed_2_x_um"] > suspects.loc[10, "seed_1_x_um"]
    assert suspects.loc[6, "score"] == pytest.approx(np.log(0.7 / 0.3))


def test_the_shape_of_a_particle_at_the_border_is_not_judged():
    table = particles()
    table.loc[9, "bbox_x1"] += 12
    table.loc[9, ["bbox_z0", "bbox_z1"]] = [0, 1]
    assert find_particle_suspects(table, SPACING, (200, 200, 200)).empty
    assert find_particle_suspects(table.head(0), SPACING, (200, 200, 200)).empty


def test_places_lie_on_the_voxels_that_were_read(scene):
    labels, _ = divided(scene, 0.4, (1.0, 0.3, 0.2))
    suspects = find_suspects([scene.level(labels)], flows=scene.flows)
    pairs = suspects[suspects["operation"] == "merge"]
    for _, row in pairs.iterrows():
        assert {label_at(labels, row, "seed_1"), label_at(labels, row, "seed_2")} == {
            row["label"],
            row["other_label"],
        }


def test_accepted_objects_and_merges_with_them_do_not_come_up_again() -> None:
    suspects = pd.DataFrame({"rank": [1, 2, 3], "label": [4, 5, 6], "other_label": [0, 4, 0]})
    assert without_accepted(suspects, {4})["rank"].tolist() == [3]
    assert without_accepted(suspects, ()).equals(suspects)

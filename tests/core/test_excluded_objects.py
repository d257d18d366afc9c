"""Objects that a person excluded: in the labels and tables, and in no statistic."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from spatial_scenes import SPACING, Labels, random_tissue
from test_steps_measured_again import PARAMETERS as STEP_PARAMETERS
from test_steps_measured_again import Results, assert_same

from spherovem_core.corrections import Anchor, Exclude, Journal, Operation, undo_operations
from spherovem_core.corrections.state import excluded_objects
from spherovem_core.errors import CorrectionError
from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS
from spherovem_core.parameters import SpatialParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.spatial import ExcludedObjects, Space, measure_space, nearest_neighbours
from spherovem_core.steps import spatial
from spherovem_core.steps.correction_tables import agglomerates_of, without_excluded
from spherovem_core.store import read_table
from spherovem_core.workflow import RunRequest

PARAMETERS = SpatialParameters(radial_bin_um=0.045, ripley_steps=5, ripley_max_um=0.2, null_simulations=19)
NOTHING = ExcludedObjects()


@pytest.fixture(scope="module")
def tissue() -> list[Labels]:
    """Cells, nuclei, and particles of which some lie in two cells."""
    cells, nuclei = random_tissue((12, 40, 36), 2, 6)
    particles = np.zeros(cells.shape, np.uint32)
    corners = np.random.default_rng(2).integers(0, np.array(particles.shape) - 4, (40, 3))
    for label, (z, y, x) in enumerate(corners, 1):
        particles[z : z + 2, y : y + 3, x : x + 4] = label
    return [cells, nuclei, particles]


def measure(volumes: list[Labels], excluded: ExcludedObjects = NOTHING) -> Space:
    cells, nuclei, particles = volumes
    return measure_space(cells, nuclei, particles, SPACING, PARAMETERS, excluded=excluded)


def without(volume: Labels, labels: frozenset[int]) -> Labels:
    return np.where(np.isin(volume, list(labels)), np.uint32(0), volume)


def kept(table: pd.DataFrame, labels: frozenset[int]) -> pd.DataFrame:
    return table[~table["label"].isin(labels)].reset_index(drop=True)


def test_statistics_are_those_without_the_excluded_particles(tissue: list[Labels]) -> None:
    labels = frozenset(np.unique(tissue[2])[1::3].tolist())
    found = measure(tissue, ExcludedObjects(nanoparticles=labels))
    deleted = measure([*tissue[:2], without(tissue[2], labels)])
    for name in ("cells", "radial", "clustering", "enrichment", "tests"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(deleted, name), check_exact=True)
    pd.testing.assert_frame_equal(
        kept(found.nanoparticles, labels), deleted.nanoparticles.reset_index(drop=True), check_exact=True
    )
    assert set(found.nanoparticles["label"]) == set(np.unique(tissue[2]).tolist()) - {0}
    whole = measure(tissue)
    assert (found.cells["nanoparticle_count"] < whole.cells["nanoparticle_count"]).any()
    assert not found.clustering.equals(whole.clustering)


def test_excluded_nuclei_are_not_counted_and_stay_where_they_are(tissue: list[Labels]) -> None:
    whole = measure(tissue)
    nucleus = whole.nuclei[whole.nuclei["parent_cell"] > 0].iloc[0]
    found = measure(tissue, ExcludedObjects(nuclei=frozenset([int(nucleus["label"])])))
    change = (whole.cells["nucleus_count"] - found.cells["nucleus_count"]).to_numpy()
    assert change.tolist() == (whole.cells["label"] == nucleus["parent_cell"]).astype(int).tolist()
    np.testing.assert_array_equal(found.distance, whole.distance)
    pd.testing.assert_frame_equal(found.nuclei, whole.nuclei)
    pd.testing.assert_frame_equal(found.nanoparticles, whole.nanoparticles)


def test_rows_of_excluded_cells_are_marked(tissue: list[Labels]) -> None:
    whole = measure(tissue)
    cell = int(whole.radial["cell"].iloc[0])
    found = measure(tissue, ExcludedObjects(cells=frozenset([cell])))
    assert not whole.radial["excluded"].any()
    assert (found.radial["excluded"] == (found.radial["cell"] == cell)).all()
    volumes = ["cell", "distance_low_um", "distance_high_um", "cell_volume_um3", "nanoparticle_volume_um3"]
    pd.testing.assert_frame_equal(found.radial[volumes], whole.radial[volumes])
    ranks = [name for name in whole.cells if "rank" in name]
    pd.testing.assert_frame_equal(found.cells.drop(columns=ranks), whole.cells.drop(columns=ranks))
    own = found.nanoparticles["parent_cell"] == cell
    assert own.any()
    assert set(found.nanoparticles.loc[own, "pattern_note"]) <= {
        "in an excluded cell",
        "cut by the border of the volume",
    }
    assert found.radial.loc[found.radial["cell"] == cell, "enrichment"].isna().all()


def test_report_tables_are_those_without_the_excluded_cells(tissue: list[Labels]) -> None:
    """Nuclei and particles in such a cell have no parent, as if it were background."""
    cell = int(measure(tissue).nanoparticles["parent_cell"].max())
    gone = frozenset([cell])
    found, deleted = (
        measure(tissue, ExcludedObjects(cells=gone)),
        measure([without(tissue[0], gone), *tissue[1:]]),
    )
    tables = {
        "cells": found.cells.assign(excluded=found.cells["label"] == cell),
        **{name: getattr(found, name) for name in ("nuclei", "nanoparticles", "radial")},
        "contacts": pd.DataFrame({"label": [1, 2], "other_label": [2, cell], "excluded": [False, True]}),
    }
    left, counts = without_excluded(tables)
    assert counts == {"cells": 1}
    assert left["contacts"]["label"].tolist() == [1]
    pd.testing.assert_frame_equal(left["cells"].drop(columns="excluded"), deleted.cells, check_exact=True)
    pd.testing.assert_frame_equal(left["radial"], deleted.radial, check_exact=True)
    # A particle at the border of the cell has its largest other part for a parent once the cell is gone.
    inside = found.nanoparticles["parent_fraction"] == 1
    pd.testing.assert_frame_equal(
        left["nanoparticles"][inside].drop(columns="parent_fraction"),
        deleted.nanoparticles[inside].drop(columns="parent_fraction"),
        check_exact=True,
    )
    assert (left["nuclei"]["parent_cell"] != cell).all()


def test_the_nearest_neighbour_is_one_that_counts() -> None:
    points = np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 3], [0, 0, 10]])
    counted = np.array([True, False, True, True])
    np.testing.assert_allclose(nearest_neighbours(points, counted), [3, 1, 3, 7])
    assert np.isnan(nearest_neighbours(points, np.array([True, False, False, False]))[0])
    assert np.isnan(nearest_neighbours(points, np.zeros(4, bool))).all()


def test_agglomerates_of_the_report_have_the_particles_that_are_left() -> None:
    particles = pd.DataFrame({"label": [1, 2, 3], "agglomerate": [1, 1, 4], "excluded": [False, True, False]})
    for axis in "zyx":
        particles[f"centroid_{axis}_um"] = [0.0, 1.0, 5.0]
        particles[f"bbox_{axis}0"], particles[f"bbox_{axis}1"] = [0, 1, 5], [1, 2, 6]
    particles["volume_um3"] = [1.0, 2.0, 4.0]
    agglomerates = pd.DataFrame({"label": [1, 4], "particle_count": [2, 1]})
    left, _ = without_excluded({"nanoparticles": particles, "agglomerates": agglomerates})
    assert left["agglomerates"]["label"].tolist() == [1, 4]
    assert left["agglomerates"]["particle_count"].tolist() == [1, 1]
    assert left["agglomerates"]["volume_um3"].tolist() == [1.0, 4.0]


def test_agglomerates_of_the_report_have_the_cells_that_are_left() -> None:
    """One particle in the cell 7 and one in 8, which touch; without cell 7 they lie in one cell, and in no other."""
    particles = pd.DataFrame(
        {"label": [1, 2], "parent_cell": [7, 8], "agglomerate": [1, 1], "place": "specimen"}
    )
    particles = particles.assign(
        volume_um3=1.0, mass_pg=1.0, in_nucleus=False, at_membrane=True, perinuclear=False
    )
    for name in (*CENTROID_COLUMNS, *BOX_COLUMNS, "distance_to_nucleus_um", "distance_to_nucleus_min_um"):
        particles[name] = [0, 1]
    cells = pd.DataFrame({"label": [7, 8], "excluded": [True, False]})
    every = {"cells": cells, "nanoparticles": particles, "agglomerates": agglomerates_of(particles)}
    assert every["agglomerates"].loc[0, ["parent_cell", "cell_count"]].tolist() == [7, 2]
    left, _ = without_excluded(every)
    row = left["agglomerates"].loc[0]
    assert row[["parent_cell", "parent_fraction", "cell_count"]].tolist() == [8, 0.5, 1]
    assert row["distance_to_nucleus_um"] == 1.0


def exclude(volume: Labels, label: int) -> Operation:
    place = np.argwhere(volume == label)[0]
    return Exclude(object=Anchor(point_um=tuple((place * SPACING / 1000).tolist())))


def test_the_step_leaves_out_what_the_journals_exclude(tissue: list[Labels], tmp_path: Path) -> None:
    """Measured again, measured fully, and with the exclusion undone."""
    spatial_step = PIPELINE.step("spatial")
    cell, particle = int(tissue[0].max()), int(tissue[2].max())
    again = Results(tmp_path / "again")
    request = RunRequest(again.acquisition, STEP_PARAMETERS)
    again.measure(tissue)
    plain = again.contents()
    assert spatial_step.external(request) == {}
    for kind, volume, label in (("cells", tissue[0], cell), ("nanoparticles", tissue[2], particle)):
        Journal(again.layout.journal(kind)).append([exclude(volume, label)])
    digests = spatial_step.external(request)
    assert set(digests) == {"excluded_cells", "excluded_nanoparticles"}
    figures = again.measure(tissue, external=digests)
    assert set(figures) == {"spatial"}
    assert figures["spatial"]["nanoparticles excluded by hand"] == 1
    assert figures["spatial"]["cells"].startswith("0 measured")
    full = Results(tmp_path / "full")
    for kind in ("cells", "nanoparticles"):
        full.layout.journal(kind).parent.mkdir(exist_ok=True)
        full.layout.journal(kind).write_bytes(again.layout.journal(kind).read_bytes())
    full.measure(tissue, external=digests)
    assert_same(again.contents(), full.contents())
    radial = read_table(again.layout, spatial.RADIAL.path)
    assert (radial["excluded"] == (radial["cell"] == cell)).all()
    deleted = Results(tmp_path / "deleted")
    deleted.measure([*tissue[:2], without(tissue[2], frozenset([particle]))])
    own, other = (read_table(results.layout, spatial.CELLS.path) for results in (again, deleted))
    # The particles of the excluded cell do not count for the rule of admissible places.
    changed = [name for name in own if "rank" in name] + ["neighbour_count", "contact_area_um2"]
    pd.testing.assert_frame_equal(own.drop(columns=changed), other.drop(columns=changed), check_exact=True)
    contacts = read_table(again.layout, spatial.CONTACTS.path)
    of_cell = (contacts[["label", "other_label"]] == cell).any(axis=1)
    assert (contacts["excluded"] == of_cell).all()
    neighbours = set(contacts.loc[of_cell, ["label", "other_label"]].to_numpy().ravel().tolist()) - {cell}
    fewer = other["neighbour_count"] - own["neighbour_count"]
    assert set(own.loc[fewer == 1, "label"].tolist()) == neighbours
    assert fewer.sum() == len(neighbours) > 0
    for kind in ("cells", "nanoparticles"):
        undo_operations(again.layout, kind, 1)
    assert spatial_step.external(request) == {}
    again.measure(tissue)
    assert_same(again.contents(), plain)


def test_marks_of_a_journal_that_never_went_with_the_labels_are_refused(
    tissue: list[Labels], tmp_path: Path
) -> None:
    results = Results(tmp_path)
    results.measure(tissue)
    Journal(results.layout.journal("cells")).append([exclude(tissue[0], int(tissue[0].max()))])
    with pytest.raises(CorrectionError, match="was changed while it was applied"):
        excluded_objects(results.layout, "cells", "another")

"""Own data through the steps: slices that are denoised and aligned already, labels of other programs, and absent kinds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from pydantic import ValidationError
from step_runs import run_steps

from spherovem_core import schema
from spherovem_core.blocks import MemorySink
from spherovem_core.denoising import write_given
from spherovem_core.errors import ChangedArtifactError, LabelsError, ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.given import measure_given
from spherovem_core.parameters import (
    DenoisingParameters,
    NanoparticleParameters,
    PipelineParameters,
    RegistrationParameters,
    SegmentationParameters,
)
from spherovem_core.references import Acquisition
from spherovem_core.registration import alignment_as_given, register_stack
from spherovem_core.registry import PIPELINE
from spherovem_core.steps.output import used_parameters
from spherovem_core.store import Layout, open_array
from spherovem_core.store.columns import (
    CELL_COLUMNS,
    NAMED_KIND_COLUMNS,
    NANOPARTICLE_COLUMNS,
    NUCLEUS_COLUMNS,
    SLICE_COLUMNS,
)
from spherovem_core.store.layout import (
    DENOISED,
    NANOPARTICLES,
    RAW,
    REGISTERED,
    labels_group,
    named_labels_group,
)
from spherovem_core.workflow import RunRequest
from spherovem_core.workflow.replacements import refuse_replacements

SPACING = (50.0, 20.0, 20.0)
SHAPE = (16, 60, 70)
COLUMNS = {"cells": CELL_COLUMNS, "nuclei": NUCLEUS_COLUMNS, "nanoparticles": NANOPARTICLE_COLUMNS}


def ball(centre: tuple[int, int, int], radius_nm: float) -> np.ndarray:
    places = np.indices(SHAPE)
    away = [(places[axis] - centre[axis]) * SPACING[axis] for axis in range(3)]
    return sum(a**2 for a in away) < radius_nm**2


CELL, NUCLEUS, PARTICLE = 4_000_000_000, 3, 5
TRUTH = {kind: np.zeros(SHAPE, np.uint32) for kind in COLUMNS}
TRUTH["cells"][ball((8, 30, 25), 330)] = CELL
TRUTH["nuclei"][ball((8, 30, 25), 160)] = NUCLEUS
TRUTH["nanoparticles"][ball((8, 30, 38), 55)] = PARTICLE
IMAGE = np.random.default_rng(0).integers(100, 140, SHAPE).astype(np.uint8)
IMAGE[TRUTH["nanoparticles"] > 0] = 230


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for z, plane in enumerate(IMAGE):
        tifffile.imwrite(folder / f"slice_{z:03}.tif", plane)
    np.savez_compressed(folder / "labels.npz", **TRUTH)
    return folder


def own_data(source: Path, *kinds: str) -> PipelineParameters:
    """Return parameters that take the kinds as given and leave the others out."""

    def group(kind: str) -> dict[str, Any]:
        file = f"{source / 'labels.npz'}:{kind}"
        own = {"segmenter": "imported", "network": file} if kind in kinds else {"segmenter": "none"}
        return own | {"mask_spacing_nm": 20.0}

    particles: dict[str, Any] = {"method": "none"}
    if "nanoparticles" in kinds:
        particles = {"method": "imported", "labels": f"{source / 'labels.npz'}:nanoparticles"}
    return PipelineParameters.model_validate(
        {
            "ingest": {"spacing_nm": SPACING},
            "denoising": {"algorithm": "none"},
            "registration": {"model": "none"},
            "segmentation": {kind: group(kind) for kind in ("cells", "nuclei")},
            "nanoparticles": particles,
            "output": {"report_image_px": 200},
        }
    )


def combinations() -> Iterator[Any]:
    """All sets of kinds; half of them, in which each kind is given and absent beside each other, are quick."""
    for number in range(8):
        kinds = tuple(kind for bit, kind in enumerate(COLUMNS) if number >> bit & 1)
        marks = () if number in (0, 3, 5, 6) else pytest.mark.slow
        yield pytest.param(kinds, marks=marks, id="+".join(kinds) or "nothing")


@pytest.mark.parametrize("kinds", list(combinations()))
def test_any_set_of_kinds_is_an_acquisition(kinds: tuple[str, ...], source: Path, tmp_path: Path) -> None:
    acquisition = Acquisition(name="own", source=source, results_root=tmp_path)
    parameters = own_data(source, *kinds)
    assert len(run_steps(acquisition, parameters)) == len(PIPELINE.steps)
    assert run_steps(acquisition, parameters) == []
    layout = Layout(acquisition.folder)
    for group in (RAW, DENOISED, REGISTERED):
        assert np.array_equal(open_array(layout, group)[:], IMAGE)
    tables = {kind: pd.read_parquet(layout.tables / f"{kind}.parquet") for kind in COLUMNS}
    for kind, table in tables.items():
        stored = open_array(layout, NANOPARTICLES if kind == "nanoparticles" else labels_group(kind))
        expected = TRUTH[kind] if kind in kinds else np.zeros_like(TRUTH[kind])
        assert np.array_equal(stored[:], expected)
        assert {column.name for column in COLUMNS[kind]} <= set(table.columns)
        assert table["label"].tolist() == np.unique(expected)[1:].tolist()
        assert table["voxel_count"].sum() == (expected > 0).sum()
    check_relations(tables, kinds)
    check_types(layout)
    means = pd.read_parquet(layout.tables / "means.parquet")
    assert set(means["kind"]) == set(kinds)
    dose = means["quantity"].str.startswith("nanoparticle_").any()
    assert dose == ({"cells", "nanoparticles"} <= set(kinds))
    report = layout.report.read_text()
    for kind in COLUMNS:
        stated = f"<dt>{kind.capitalize()}</dt><dd>none given</dd>"
        assert (stated in "".join(line.strip() for line in report.splitlines())) == (kind not in kinds)


def check_types(layout: Layout) -> None:
    """Columns have the types that are documented, also in tables without rows."""
    arrow = {"double": "float64", "large_string": "string"}
    for table in schema.tables():
        found = {field.name: str(field.type) for field in pq.read_schema(layout.path(table.path))}
        found = {name: arrow.get(kind, kind) for name, kind in found.items()}
        assert found.items() >= {own.name: own.type for own in table.columns}.items(), table.path


def check_relations(tables: dict[str, pd.DataFrame], kinds: tuple[str, ...]) -> None:
    cell = CELL if "cells" in kinds else 0
    if "nuclei" in kinds:
        assert tables["nuclei"]["parent_cell"].tolist() == [cell]
    if "nanoparticles" in kinds:
        (particle,) = tables["nanoparticles"].to_dict("records")
        assert particle["parent_cell"] == cell
        measured = {"cells", "nuclei"} <= set(kinds)
        assert np.isfinite(particle["distance_to_nucleus_um"]) == measured
        assert particle["mean_intensity"] == 230.0
        assert np.isnan(particle["contrast"])
        assert np.isnan(particle["confidence"])
        assert particle["population"] == 0
    if "cells" in kinds:
        assert tables["cells"]["nucleus_count"].tolist() == [int("nuclei" in kinds)]
        assert tables["cells"]["nanoparticle_count"].tolist() == [int("nanoparticles" in kinds)]


def test_labels_that_are_gone_were_copied(source: Path, tmp_path: Path) -> None:
    """The history names origin and digest; a run without the file takes what was imported, under the same parameters."""
    acquisition = Acquisition(name="own", source=source, results_root=tmp_path)
    file = tmp_path / "cells.npy"
    np.save(file, TRUTH["cells"])
    given = own_data(source).model_dump()
    given["segmentation"]["cells"] |= {"segmenter": "imported", "network": str(file)}
    parameters = PipelineParameters.model_validate(given)
    run_steps(acquisition, parameters, until="masks_cells")
    stored = open_array(Layout(acquisition.folder), labels_group("cells"))
    assert stored.details["imported"]["origin"] == str(file)
    digests = [entry["external"].get("network") for entry in stored.history]
    assert stored.details["imported"]["sha256"] in digests
    assert (
        used_parameters(PipelineParameters().model_dump(), stored.history, PIPELINE)["segmentation"]["cells"][
            "segmenter"
        ]
        == "imported"
    )
    file.touch()
    assert run_steps(acquisition, parameters, until="masks_cells") == []
    file.unlink()
    assert run_steps(acquisition, parameters, until="masks_cells") == []
    given["segmentation"]["cells"]["mask_spacing_nm"] = given["segmentation"]["nuclei"]["mask_spacing_nm"] = (
        40.0
    )
    with pytest.raises(LabelsError, match=r"cells\.npy do not exist"):
        run_steps(acquisition, PipelineParameters.model_validate(given), until="masks_cells")
    np.save(file, TRUTH["cells"] // 2)
    assert run_steps(acquisition, parameters, until="masks_cells") == ["flows_cells", "masks_cells"]


def test_a_kind_with_a_name_gets_a_table_of_its_own(source: Path, tmp_path: Path) -> None:
    acquisition = Acquisition(name="own", source=source, results_root=tmp_path)
    mitochondria = np.zeros(SHAPE, np.uint16)
    mitochondria[6:9, 28:33, 34:37] = 12
    mitochondria[1:3, 1:5, 60:66] = 4
    np.save(tmp_path / "mitochondria.npy", mitochondria)
    given = own_data(source, "cells", "nuclei").model_dump()
    given["segmentation"]["others"] = {"mitochondria": str(tmp_path / "mitochondria.npy")}
    parameters = PipelineParameters.model_validate(given)
    computed = run_steps(acquisition, parameters)
    assert {"labels_mitochondria", "shape_mitochondria", "spatial_mitochondria"} <= set(computed)
    assert run_steps(acquisition, parameters) == []
    layout = Layout(acquisition.folder)
    assert np.array_equal(open_array(layout, named_labels_group("mitochondria"))[:], mitochondria)
    table = pd.read_parquet(layout.tables / "mitochondria.parquet")
    assert [column.name for column in NAMED_KIND_COLUMNS] == list(table.columns)
    assert table["label"].tolist() == [4, 12]
    assert table["voxel_count"].tolist() == [48, 45]
    assert table["parent_cell"].tolist() == [0, CELL]
    assert np.isnan(table["distance_to_nucleus_um"][0])
    # The nucleus ends 7 voxels from its centre at x = 25; the object reaches from x = 34 to 36 in its plane.
    assert 0.02 <= table["distance_to_nucleus_min_um"][1] <= 0.06
    assert 'id="mitochondria"' in layout.report.read_text()
    without = own_data(source, "cells", "nuclei")
    assert run_steps(acquisition, without) == ["output"]


def test_no_kind_has_the_name_of_a_table() -> None:
    """Its own table would replace the other."""
    tables = [
        Path(output.path)
        for step in PIPELINE.steps
        for output in step.outputs
        if output.path.startswith("tables/")
    ]
    published = {path.stem for path in tables if path.parent.name == "tables"}
    assert "suspects_cells" in published
    for name in published:
        with pytest.raises(ValidationError, match="choose another name"):
            SegmentationParameters(others={name: "/file.tif"})


@pytest.mark.parametrize("name", ["cells", "slices", "Golgi", "a b", "x" * 41])
def test_names_of_kinds_are_free_and_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        SegmentationParameters(others={name: "/labels.tif"})


def test_the_provenance_names_the_files(source: Path, tmp_path: Path) -> None:
    acquisition = Acquisition(name="own", source=source, results_root=tmp_path)
    parameters = own_data(source, "nanoparticles")
    run_steps(acquisition, parameters)
    provenance = json.loads(Layout(acquisition.folder).provenance.read_text())
    assert provenance["parameters"]["nanoparticles"]["labels"] == f"{source / 'labels.npz'}:nanoparticles"
    # A run that starts later, with other parameters, takes what is on disk.
    used = used_parameters(PipelineParameters().model_dump(), provenance["stages"], PIPELINE)
    assert used["nanoparticles"]["method"] == "imported"
    assert used["registration"]["model"] == used["denoising"]["algorithm"] == "none"
    PipelineParameters.model_validate(used)


def test_labels_in_the_results_folder_are_refused(source: Path, tmp_path: Path) -> None:
    acquisition = Acquisition(name="own", source=source, results_root=tmp_path)
    (tmp_path / "own").mkdir()
    np.save(tmp_path / "own" / "cells.npy", TRUTH["cells"])
    given = own_data(source).model_dump()
    given["segmentation"]["cells"] |= {
        "segmenter": "imported",
        "network": str(tmp_path / "own" / "cells.npy"),
    }
    with pytest.raises(LabelsError, match="lies in the results folder"):
        run_steps(acquisition, PipelineParameters.model_validate(given))


def test_imported_particles_need_a_file(source: Path, tmp_path: Path) -> None:
    given = own_data(source).model_dump()
    given["nanoparticles"]["method"] = "imported"
    acquisition = Acquisition(name="own", source=source, results_root=tmp_path)
    with pytest.raises(ParameterError, match="labels is empty; name the label file"):
        run_steps(acquisition, PipelineParameters.model_validate(given))


# Parts


def test_given_slices_of_8_bits_keep_their_values() -> None:
    sink = MemorySink(np.zeros(SHAPE, np.uint8))
    table, grey_map = write_given(IMAGE, sink, DenoisingParameters(algorithm="none"), Execution())
    assert np.array_equal(sink.array, IMAGE)
    assert (grey_map.low, grey_map.high) == (0.0, 255.0)
    assert table["residual_std"].isna().all()


def test_given_slices_of_16_bits_are_mapped_linearly_with_one_map() -> None:
    values = np.linspace(1000, 3000, np.prod(SHAPE)).astype(np.uint16).reshape(SHAPE)
    sink, ledger = MemorySink(np.zeros(SHAPE, np.uint8)), {}
    parameters = DenoisingParameters(algorithm="none", range_percentiles=(0.0, 100.0))
    table, grey_map = write_given(values, sink, parameters, Execution(), ledger=ledger)
    assert np.abs(grey_map.values(sink.array) - values).max() <= 2000 / 255 / 2 + 1
    assert (sink.array.min(), sink.array.max()) == (0, 255)
    again = MemorySink(np.zeros(SHAPE, np.uint8))
    resumed, _ = write_given(values, again, parameters, Execution(), ledger=ledger)
    assert np.array_equal(again.array, sink.array)
    assert resumed.equals(table)


def test_bad_slices_do_not_choose_the_map() -> None:
    values = np.full(SHAPE, 2000, np.uint16)
    values[:, :30] = 1000
    values[3] = 60_000
    parameters = DenoisingParameters(algorithm="none")
    _, grey_map = write_given(values, MemorySink(np.zeros(SHAPE, np.uint8)), parameters, Execution(), [3])
    assert (grey_map.low, grey_map.high) == (1000.0, 2000.0)


def test_an_alignment_as_given_moves_and_crops_nothing() -> None:
    alignment = alignment_as_given(SHAPE, [2])
    assert alignment.crop == (0, SHAPE[1], 0, SHAPE[2])
    assert np.array_equal(alignment.transforms[5], [[1, 0, 0], [0, 1, 0]])
    table = alignment.table
    own = {column.name for column in SLICE_COLUMNS} & set(table.columns)
    assert {"similarity_after", "map_yy", "crop_y1_px", "elastic_limited"} <= own
    assert table["similarity_after"].isna().all()
    assert not table["trusted"].any()
    assert set(table["reason"]) == {"not registered: aligned as given"}
    assert table["used"].tolist() == [z != 2 for z in range(SHAPE[0])]


def test_functions_in_memory_refuse_to_do_nothing() -> None:
    with pytest.raises(ParameterError, match="registers nothing"):
        register_stack(IMAGE, RegistrationParameters(model="none"))


def test_touching_particles_are_an_agglomerate_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spherovem_core.nanoparticles.given.BLOCK_EDGE", 8)
    labels = np.zeros((10, 20, 30), np.uint32)
    labels[2:4, 7, 7] = 9
    labels[4, 8, 8] = 4_000_000_000
    labels[8, 0:4, 20] = 2
    image = np.full(labels.shape, 50, np.uint8)
    image[2, 7, 7] = 150
    found = measure_given(labels, image, SPACING, NanoparticleParameters(polarity="dark"), "given")
    table = found.particles
    assert table["label"].tolist() == [2, 9, 4_000_000_000]
    assert table["agglomerate"].tolist() == [1, 2, 2]
    assert found.agglomerates["particle_count"].tolist() == [1, 2]
    assert table["mean_intensity"].tolist() == [205.0, 155.0, 205.0]
    assert table["volume_um3"].to_numpy() == pytest.approx(np.array([4, 2, 1]) * 2e-5)
    assert table["centroid_z_um"].tolist() == pytest.approx([0.4, 0.125, 0.2])
    assert (table["bbox_y1"] - table["bbox_y0"]).tolist() == [4, 1, 1]
    assert found.others.empty
    assert found.mixture.detected


def test_imported_labels_are_not_replaced_by_a_run_that_does_not_name_them(
    source: Path, tmp_path: Path
) -> None:
    acquisition = Acquisition(name="own", source=source, results_root=tmp_path)
    run_steps(acquisition, own_data(source, "cells"), until="masks_nuclei")
    before = open_array(Layout(acquisition.folder), labels_group("cells")).digest

    def plan(*kinds: str) -> None:
        request = RunRequest(acquisition, own_data(source, *kinds))
        external = {step.name: step.external(request) for step in PIPELINE.steps}
        refuse_replacements(PIPELINE, PIPELINE.steps, request, external, {})

    with pytest.raises(
        ChangedArtifactError, match=r"imported from .*labels.npz:cells.*--labels cells=.*--recompute"
    ):
        plan()
    plan("cells", "nuclei")
    assert open_array(Layout(acquisition.folder), labels_group("cells")).digest == before

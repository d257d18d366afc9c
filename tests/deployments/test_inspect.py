"""``spherovem inspect`` describes sources, results, volumes and tables, and changes none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from results_scenes import SHAPE, SPACING, array_writer, contents, write_blocks, write_results

from deployments.command_line.main import main
from spherovem_core.store import Layout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_results(tmp_path_factory.mktemp("results") / "spheroid 7")


def inspect(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> str:
    assert main(["inspect", str(path), *options]) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(inspect(capsys, path, "--json", *options))
    return found


def write_slices(folder: Path, spacing: list[float] | None = None, count: int = 6) -> None:
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 255, (count, 30, 20), dtype=np.uint8)
    for z in range(count):
        tifffile.imwrite(folder / f"slice_{z:03d}.tif", values[z])
    if spacing:
        (folder / "acquisition.json").write_text(json.dumps({"spacing_nm": spacing}))


def test_a_source_is_described_with_its_voxel_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "slices"
    write_slices(source, list(SPACING), count=5)
    found = as_json(capsys, source)
    assert (found["kind"], found["files"], found["dtype"]) == ("source", 5, "uint8")
    assert (found["shape"], found["spacing_nm"]) == ([5, 30, 20], list(SPACING))
    assert found["spacing_origin"] == "acquisition.json"
    assert (found["missing_slices"], found["faults"]) == ([], [])
    assert found["bytes"] == sum(path.stat().st_size for path in source.glob("*.tif"))
    text = inspect(capsys, source)
    assert "5 x 30 x 20 voxels (z y x), uint8" in text
    assert "50 x 10 x 10 nm" in text
    assert "0.25 x 0.3 x 0.2 µm" in text
    assert "faults      none" in text


def test_gaps_and_faults_of_a_source_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "slices"
    write_slices(source, count=8)
    (source / "slice_003.tif").unlink()
    cut = source / "slice_005.tif"
    cut.write_bytes(cut.read_bytes()[:-100])
    tifffile.imwrite(source / "slice_006.tif", np.full((30, 20), 9, np.uint8))
    found = as_json(capsys, source)
    assert found["spacing_nm"] is None
    assert found["missing_slices"] == [3]
    assert found["shape"] == [8, 30, 20]
    faults = "\n".join(found["faults"])
    assert "slice_005.tif: truncated" in faults
    assert "slice number missing: 3" in faults
    assert "no voxel size" in faults
    assert "blank" not in faults
    assert "slice_006.tif: blank" in "\n".join(as_json(capsys, source, "--pixels")["faults"])
    text = inspect(capsys, source)
    assert "voxel size  not found" in text
    assert "faults      3\n  - " in text


def test_a_voxel_size_given_by_hand_is_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "slices"
    write_slices(source, count=5)
    assert "no voxel size" in "\n".join(as_json(capsys, source)["faults"])
    found = as_json(capsys, source, "--spacing-nm", "50", "8", "9")
    assert (found["faults"], found["spacing_nm"]) == ([], [50, 8, 9])
    assert main(["inspect", str(source), "--spacing-nm", "50", "8"]) == 2
    assert main(["inspect", str(source), "--spacing-nm", "1e-5", "8", "9"]) == 2
    assert "--spacing-nm: got" in capsys.readouterr().err


def test_values_that_are_converted_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for z in range(3):
        values = np.random.default_rng(z).normal(size=(20, 30)).astype(np.float32)
        tifffile.imwrite(tmp_path / f"slice_{z}.tif", values, metadata=None)
    assert "float32, stored as uint16" in inspect(capsys, tmp_path)


def test_a_multi_page_file_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stack.ome.tif"
    size = {"PhysicalSizeZ": 50.0, "PhysicalSizeY": 10.0, "PhysicalSizeX": 10.0}
    units = {f"{name}Unit": "nm" for name in size}
    values = np.random.default_rng(0).integers(0, 9999, (4, 30, 20), dtype=np.uint16)
    tifffile.imwrite(path, values, metadata={"axes": "ZYX", **size, **units})
    found = as_json(capsys, path)
    assert (found["files"], found["shape"], found["dtype"]) == (1, [4, 30, 20], "uint16")
    assert found["spacing_nm"] == [50, 10, 10]
    assert "OME" in found["spacing_origin"]


def test_a_results_folder_is_described_with_arrays_and_tables(
    results: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    found = as_json(capsys, results.folder)
    assert (found["kind"], found["state"]["state"]) == ("results", "complete")
    arrays = {array["group"]: array for array in found["arrays"]}
    assert set(arrays) == set(contents())
    for group, (_, values) in contents().items():
        level = arrays[group]["levels"][0]
        assert (level["shape"], level["dtype"]) == (list(values.shape), str(values.dtype)), group
        assert (level["spacing_nm"], arrays[group]["state"]) == (list(SPACING), "complete"), group
        folder = results.volume / group / "0" / "c"
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert (level["files"], level["missing_files"]) == (len(files), 0), group
        assert level["bytes_on_disk"] == sum(path.stat().st_size for path in files), group
    registered = arrays["registered"]
    assert [level["shape"] for level in registered["levels"]] == [list(SHAPE), [12, 80, 70]]
    assert registered["levels"][1]["spacing_nm"] == [50, 20, 20]
    assert registered["levels"][0]["chunks"] == [1, 160, 140]
    assert "zstd" in registered["levels"][0]["codecs"]
    assert registered["history"][-1]["stage"] == "registration"
    assert registered["details"]["spacing_origin"] == "acquisition.json"
    tables = {each["path"]: each for each in found["tables"]}
    assert tables["tables/slices.parquet"]["rows"] == SHAPE[0]
    text = inspect(capsys, results.folder)
    assert "registered/labels/nanoparticles" in text
    assert "tables/stages/spatial-ripley.parquet" in text


def test_one_array_is_described_with_levels_and_history(
    results: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = results.volume / "registered/labels/cells"
    text = inspect(capsys, cells)
    assert text.startswith("array registered/labels/cells\nuint32, bytes, blosc; complete\n")
    assert "masks cells  2        cpu" in text
    [single] = as_json(capsys, cells / "1")["arrays"]
    assert (single["group"], len(single["levels"])) == ("registered/labels/cells/1", 1)


def test_unfinished_and_damaged_arrays_are_recognised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = write_results(tmp_path / "a", until="ingest")
    content, values = contents()["denoised"]
    write_blocks(array_writer(layout, "denoised", content, values, "d"), values, fraction=0.5)
    (layout.volume / "raw/0/c/3/0/0").unlink()
    arrays = {array["group"]: array for array in as_json(capsys, layout.folder)["arrays"]}
    assert (arrays["denoised"]["state"], arrays["denoised"]["fraction"]) == ("partial", 0.5)
    assert arrays["denoised"]["levels"][0]["missing_files"] == SHAPE[0] // 2
    assert (arrays["raw"]["state"], arrays["raw"]["levels"][0]["missing_files"]) == ("damaged", 1)
    text = inspect(capsys, layout.folder)
    assert "partial 50 %" in text
    assert "damaged" in text


def test_a_table_is_described_with_units(
    results: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = as_json(capsys, results.path("tables/cells.parquet"))
    columns = {column["name"]: column for column in found["columns"]}
    assert columns["volume_um3"] == {"name": "volume_um3", "type": "double", "unit": "µm³"}
    assert columns["label"]["unit"] == ""
    assert found["fingerprint"] == "digest of output"
    foreign = tmp_path / "foreign.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(foreign)
    assert as_json(capsys, foreign)["fingerprint"] is None


def test_a_volume_of_another_program_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = zarr.open_group(tmp_path / "other.zarr", mode="w", zarr_format=3)
    group.create_array("values", shape=(20, 30), chunks=(10, 30), dtype="float64")
    group.create_group("inner").create_array("0", shape=(4, 4), chunks=(4, 4), dtype="uint8")[:] = 1
    arrays = {array["group"]: array for array in as_json(capsys, tmp_path / "other.zarr")["arrays"]}
    assert set(arrays) == {"values", "inner/0"}
    assert arrays["values"]["state"] == "foreign"
    assert arrays["values"]["levels"][0]["spacing_nm"] is None
    assert arrays["inner/0"]["levels"][0]["files"] == 1


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nowhere", 2, "does not exist; name a source"),
        ("empty", 1, "expected slices ending in .tif"),
        ("root", 2, "is a results root; list it with 'spherovem status"),
        ("broken.parquet", 1, "is no whole Parquet file"),
        ("broken.zarr", 1, "is no zarr group or array of version 3"),
    ],
)
def test_other_paths_are_refused_in_one_line(
    name: str, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    Layout(tmp_path / "root/spheroid").ensure_writable()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr/zarr.json").write_text("{")
    assert main(["inspect", str(tmp_path / name)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_inspecting_changes_no_file(results: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.folder.rglob("*")}
    inspect(capsys, results.folder)
    assert {path: path.stat().st_mtime_ns for path in results.folder.rglob("*")} == before


def test_the_contact_sheet_goes_into_a_folder_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "slices"
    write_slices(source, list(SPACING), count=6)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    found = as_json(capsys, source, "--sheet", str(tmp_path / "look" / "here"))
    assert Path(found["sheet"]["html"]).read_text().startswith("<!doctype html>")
    assert Path(found["sheet"]["png"]).read_bytes().startswith(b"\x89PNG")
    assert found["curves"]["number"] == list(range(6))
    assert found["curves"]["similarity"][0] is None
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert main(["inspect", str(source), "--sheet", str(source)]) == 2
    assert main(["inspect", str(source), "--sheet", str(source / "slice_000.tif")]) == 2
    assert "name another folder" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_a_description_to_complete_is_written_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "slices"
    write_slices(source, count=6)
    found = as_json(capsys, source, "--write-description", "--sheet", str(tmp_path / "look"))
    written = source / "acquisition.json"
    assert found["description"] == str(written)
    draft = json.loads(written.read_text())
    assert (draft["spacing_nm"], draft["slice_count"], draft["exclude_slices"]) == ([None] * 3, 6, {})
    assert any(question.startswith("spacing_nm: voxel size [z, y, x] in nm") for question in draft["_asked"])
    assert as_json(capsys, source)["faults"] == [fault for fault in found["faults"] if "voxel size" in fault]
    text = written.read_text()
    assert main(["inspect", str(source), "--write-description"]) == 1
    assert "exists and is left as it is" in capsys.readouterr().err
    assert written.read_text() == text
    draft |= {"spacing_nm": list(SPACING), "exclude_slices": {"3": "fold"}}
    written.write_text(json.dumps(draft))
    complete = as_json(capsys, source)
    assert (complete["faults"], complete["spacing_nm"]) == ([], list(SPACING))
    assert complete["metadata"]["excluded"][0]["reason"] == "fold"


def test_options_for_sources_are_refused_for_results(
    results: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (
        ["--write-description"],
        ["--sheet", "x"],
        ["--series", "InLens"],
        ["--spacing-nm", "9", "9", "9"],
    ):
        for path in (results.folder, results.volume):
            assert main(["inspect", str(path), *option]) == 2
    assert "are for sources" in capsys.readouterr().err


@pytest.mark.parametrize("dataset", [None, "t=0"])
def test_a_zarr_array_of_another_program_has_a_contact_sheet(
    dataset: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, sheet = tmp_path / "stack.zarr", tmp_path / "look"
    values = np.random.default_rng(0).integers(0, 255, (1, 6, 30, 20), dtype=np.uint8)
    shape = values.shape if dataset else values.shape[1:]
    names = ["t", "z", "y", "x"][-len(shape) :]
    array = zarr.create_array(source, shape=shape, chunks=shape, dtype="uint8", dimension_names=names)
    array[:] = values.reshape(shape)
    chosen = ["--dataset", dataset] if dataset else []
    assert as_json(capsys, source, *chosen)["kind"] == "source"
    found = as_json(capsys, source, "--sheet", str(sheet), *chosen)
    assert (found["kind"], found["shape"]) == ("source", [6, 30, 20])
    assert Path(found["sheet"]["png"]).is_file()

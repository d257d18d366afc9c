"""Export of results to formats of other programs."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from results_scenes import SHAPE, SPACING, cells, write_results

from spherovem_core.errors import OutputExistsError
from spherovem_core.export import (
    MESH_FORMATS,
    ExportTarget,
    MeshFormat,
    write_csv,
    write_label_tiff,
    write_meshes,
    write_units,
)
from spherovem_core.parameters import ShapeParameters
from spherovem_core.store import Layout, open_array
from spherovem_core.store.columns import Column
from spherovem_core.store.label_files import open_label_volume


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_results(tmp_path_factory.mktemp("results") / "spheroid 7")


def test_csv_holds_the_values_of_the_table(results: Layout, tmp_path: Path) -> None:
    parquet, path = results.path("tables/cells.parquet"), tmp_path / "cells.csv"
    assert write_csv(parquet, path) == 2
    written = pd.read_csv(path, keep_default_na=False, na_values={"volume_um3": [""]})
    stored = pd.read_parquet(parquet)
    assert list(written.columns) == list(stored.columns)
    pd.testing.assert_frame_equal(written, stored, check_dtype=False)
    first, second = path.read_text().splitlines()[1:]
    assert first.startswith("1,0,0.0824,")
    assert second.startswith("70001,0,,")
    assert second.endswith(',"thin, ""flat"""')


def test_csv_of_many_rows_has_one_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spherovem_core.export.tables.ROWS_AT_A_TIME", 7)
    frame = pd.DataFrame({"label": np.arange(30), "volume_um3": np.random.default_rng(0).random(30)})
    frame.to_parquet(tmp_path / "t.parquet")
    assert write_csv(tmp_path / "t.parquet", tmp_path / "t.csv") == 30
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), frame)
    write_csv(results_empty(tmp_path), tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == "label,volume_um3\n"


def results_empty(folder: Path) -> Path:
    path = folder / "empty.parquet"
    pd.DataFrame({"label": np.array([], np.uint32), "volume_um3": np.array([])}).to_parquet(path)
    return path


def test_every_column_has_its_unit_and_meaning(results: Layout, tmp_path: Path) -> None:
    columns = {"cells": (Column("volume_um3", "float64", "Voxels times the volume of one."),)}
    write_units({"cells": results.path("tables/cells.parquet")}, columns, tmp_path / "units.csv")
    written = pd.read_csv(tmp_path / "units.csv", keep_default_na=False).set_index("column")
    assert list(written.index) == list(pd.read_parquet(results.path("tables/cells.parquet")).columns)
    assert written.loc["volume_um3"].tolist() == ["cells", "double", "µm³", "Voxels times the volume of one."]
    assert written.loc["gaussian_curvature_mean_per_um2", "unit"] == "1/µm²"
    assert written.loc["label", "unit"] == ""


def test_ome_tiff_holds_labels_and_voxel_size(results: Layout, tmp_path: Path) -> None:
    stored = open_array(results, "registered/labels/cells")
    path = tmp_path / "cells.ome.tif"
    write_label_tiff(stored, stored.array.chunks, SPACING, path, name="cells of µ")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert len(file.pages) == SHAPE[0]
        np.testing.assert_array_equal(file.asarray(), cells())
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        assert pixels["Name"] == "cells of µ"
        size = pixels["Pixels"]
        assert [size[f"PhysicalSize{axis}"] for axis in "ZYX"] == list(SPACING)
        assert {size[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"nm"}
        assert (size["SizeZ"], size["SizeC"], size["Type"]) == (SHAPE[0], 1, "uint32")
    with open_label_volume(str(path)) as volume:
        np.testing.assert_array_equal(volume[:], cells())


class Watched:
    """An array that counts its reads."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        self.reads = np.zeros(values.shape, int)
        self.largest = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        self.reads[region] += 1
        self.largest = max(self.largest, self.values[region].size)
        return self.values[region]


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from([">u4", "<u4"]),
)
def test_labels_of_any_shape_are_read_once_and_written_whole(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    chunk: tuple[int, int, int],
    dtype: str,
) -> None:
    values = np.random.default_rng(0).integers(0, 2**32, shape, dtype=np.uint32).astype(dtype)
    watched = Watched(values)
    path = tmp_path_factory.mktemp("tiff") / "labels.ome.tif"
    steps: list[tuple[int, int]] = []
    write_label_tiff(watched, chunk, SPACING, path, progress=lambda done, total: steps.append((done, total)))
    np.testing.assert_array_equal(tifffile.imread(path).reshape(shape), values)
    assert (watched.reads == 1).all()
    assert watched.largest <= chunk[0] * chunk[1] * shape[2]
    assert steps[-1] == (shape[0], shape[0])


@pytest.fixture(scope="module")
def surfaces(results: Layout, tmp_path_factory: pytest.TempPathFactory) -> dict[MeshFormat, Path]:
    labels = open_array(results, "registered/labels/cells")
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in MESH_FORMATS}
    for kind, folder in folders.items():
        assert write_meshes(labels, folder, kind, ShapeParameters()) == 2
    return folders


def load(path: Path) -> trimesh.Trimesh:
    mesh = trimesh.load(path, process=True)
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


@pytest.mark.parametrize("kind", MESH_FORMATS)
def test_mesh_of_a_ball_has_its_volume_and_place(surfaces: dict[MeshFormat, Path], kind: MeshFormat) -> None:
    assert sorted(path.name for path in surfaces[kind].iterdir()) == [f"000001.{kind}", f"070001.{kind}"]
    mesh = load(surfaces[kind] / f"000001.{kind}")
    assert mesh.is_watertight
    # Slices of 50 nm sample a ball of radius 0.27 µm only coarsely.
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.27**3, rel=0.08)
    centre = mesh.bounds.mean(axis=0)
    np.testing.assert_allclose(centre, [0.45, 0.45, 0.275], atol=0.01)


def test_all_formats_hold_the_same_surface(surfaces: dict[MeshFormat, Path]) -> None:
    ply = trimesh.load(surfaces["ply"] / "000001.ply", process=False)
    assert isinstance(ply, trimesh.Trimesh)
    for kind in ("obj", "stl"):
        mesh = load(surfaces[kind] / f"000001.{kind}")
        assert len(mesh.faces) == len(ply.faces)
        np.testing.assert_allclose(
            np.sort(mesh.triangles_center, axis=0), np.sort(ply.triangles_center, axis=0), atol=1e-5
        )
    content = (surfaces["stl"] / "000001.stl").read_bytes()
    assert struct.unpack("<I", content[80:84]) == (len(ply.faces),)
    first = struct.unpack("<12fH", content[84:134])
    assert np.linalg.norm(first[:3]) == pytest.approx(1, abs=1e-5)


def test_every_format_names_its_units(surfaces: dict[MeshFormat, Path]) -> None:
    for kind, folder in surfaces.items():
        assert b"lengths in um" in (folder / f"000001.{kind}").read_bytes()[:1000]


def test_files_and_folders_appear_only_when_complete(tmp_path: Path) -> None:
    target = ExportTarget(tmp_path / "out")
    with target.open():
        with target.writing("tables/a.csv") as path:
            path.write_text("whole")
            assert not (target.folder / "tables/a.csv").exists()
        with target.writing("meshes/cells") as path:
            path.mkdir()
            (path / "1.ply").touch()
    assert sorted(str(p.relative_to(target.folder)) for p in target.folder.rglob("*") if p.is_file()) == [
        "meshes/cells/1.ply",
        "tables/a.csv",
    ]


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    target = ExportTarget(tmp_path / "out")

    def broken() -> Iterator[None]:
        with target.open(), target.writing("a.csv") as path:
            path.write_text("half")
            raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        next(broken())
    assert list(target.folder.rglob("*")) == []


def test_existing_files_are_replaced_only_on_request(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv", "d.csv"):
        (tmp_path / name).touch()
    with pytest.raises(
        OutputExistsError, match=r"already holds a.csv, b.csv, c.csv and 1 more; give --force"
    ):
        ExportTarget(tmp_path).check(["a.csv", "b.csv", "c.csv", "d.csv", "e.csv"])
    ExportTarget(tmp_path).check(["e.csv"])
    ExportTarget(tmp_path, replace=True).check(["a.csv"])


def test_a_replaced_folder_keeps_no_old_file(tmp_path: Path) -> None:
    (tmp_path / "meshes/cells").mkdir(parents=True)
    (tmp_path / "meshes/cells/9.ply").touch()
    target = ExportTarget(tmp_path, replace=True)
    with target.open(), target.writing("meshes/cells") as path:
        path.mkdir()
        (path / "1.ply").touch()
    assert [path.name for path in (tmp_path / "meshes/cells").iterdir()] == ["1.ply"]


def test_a_second_export_into_a_folder_is_refused(tmp_path: Path) -> None:
    with (
        ExportTarget(tmp_path).open(),
        pytest.raises(OutputExistsError, match="another export is writing"),
        ExportTarget(tmp_path).open(),
    ):
        pass
    with ExportTarget(tmp_path).open():
        pass

"""``spherovem export`` writes whole files, replaces none unasked, and survives being killed."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tifffile
from results_scenes import SHAPE, cells, write_results

from deployments.command_line.main import main
from spherovem_core.store import Layout
from spherovem_core.workflow import earlier_versions

CHECKOUT = Path(__file__).parents[2]
HALF_WAY = """
import sys, time, imagecodecs
from types import SimpleNamespace
from spherovem_core.export import labels
calls = []
def encode(*arguments, **options):
    calls.append(1)
    if len(calls) == 5:
        print("half way", flush=True)
        time.sleep(600)
    return imagecodecs.deflate_encode(*arguments, **options)
labels.imagecodecs = SimpleNamespace(deflate_encode=encode)
from deployments.command_line.main import main
main(["export", sys.argv[1], "--labels", "--tables", "--out", sys.argv[2], "--workers", "1"])
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_results(tmp_path_factory.mktemp("results") / "spheroid 7")


def export(results: Layout, out: Path, *options: str) -> int:
    return main(["export", str(results.folder), "--out", str(out), *options])


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_tables_labels_and_meshes_are_written(
    results: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(results, tmp_path, "--tables", "--labels", "--meshes", "--workers", "1") == 0
    names = ("cells", "nuclei", "nanoparticles")
    tables = (*names, "other_objects", "agglomerates", "contacts", "uptake", "slices")
    tables += ("radial", "ripley", "enrichment", "tests", "means", "totals")
    tables += tuple(f"suspects_{name}" for name in names)
    assert files(tmp_path) == {
        *(f"tables/{name}.csv" for name in (*tables, "units")),
        *(f"labels/{name}.ome.tif" for name in names),
        "meshes/cells/000001.ply",
        "meshes/cells/070001.ply",
        "meshes/nuclei/000001.ply",
        "meshes/nuclei/000002.ply",
    }
    assert (tifffile.imread(tmp_path / "labels/cells.ome.tif") == cells()).all()
    units = pd.read_csv(tmp_path / "tables/units.csv")
    assert set(units["table"]) == set(tables)
    assert units.set_index(["table", "column"]).loc[("cells", "volume_um3"), "meaning"]
    shown = capsys.readouterr().out
    assert f"{tmp_path / 'labels/cells.ome.tif'}  (12 x 160 x 140 voxels, uint32)" in shown
    assert f"{tmp_path / 'meshes/cells'}  (2 meshes)" in shown


def test_only_the_chosen_kind_and_level_are_written(results: Layout, tmp_path: Path) -> None:
    options = ["--labels", "--objects", "cells", "--level", "1"]
    assert export(results, tmp_path, *options) == 0
    assert files(tmp_path) == {"labels/cells.ome.tif"}
    with tifffile.TiffFile(tmp_path / "labels/cells.ome.tif") as file:
        assert file.asarray().shape == (SHAPE[0], 80, 70)
        assert 'PhysicalSizeX="20.0"' in str(file.ome_metadata)


def test_existing_files_are_replaced_only_with_force(
    results: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(results, tmp_path, "--tables") == 0
    (tmp_path / "tables/nuclei.csv").write_text("mine")
    assert export(results, tmp_path, "--tables") == 1
    assert "give --force to replace, or another --out" in capsys.readouterr().err
    assert (tmp_path / "tables/nuclei.csv").read_text() == "mine"
    assert export(results, tmp_path, "--tables", "--force") == 0
    assert (tmp_path / "tables/nuclei.csv").read_text().startswith("label,")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "nothing to export: give --tables"),
        (("--labels", "--objects", "blobs"), 2, "--objects"),
        (("--meshes", "--mesh-format", "vrml"), 2, "--mesh-format"),
        (("--labels", "--level", "7"), 2, "cells have the levels 0 to 1"),
    ],
)
def test_bad_arguments_write_nothing(
    results: Layout,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    out = tmp_path / "out"
    assert export(results, out, *options) == code
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_results_of_an_older_version_lack_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = write_results(tmp_path / "a")
    (results.tables / "contacts.parquet").unlink()
    assert export(results, tmp_path / "now", "--tables") == 1
    assert "tables/contacts.parquet does not exist" in capsys.readouterr().err
    monkeypatch.setattr(earlier_versions, "_version_of", lambda *_: 1)
    assert export(results, tmp_path / "out", "--tables") == 0
    assert "tables/contacts.csv is left out" in capsys.readouterr().err
    assert {"tables/cells.csv", "tables/units.csv"} <= files(tmp_path / "out")
    assert "tables/contacts.csv" not in files(tmp_path / "out")
    (results.tables / "uptake.parquet").write_bytes(b"PAR1 torn")
    assert export(results, tmp_path / "other", "--tables") == 1
    assert "tables/uptake.parquet" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--tables", "tables/other_objects.parquet does not exist"),
        ("--labels", "is not there"),
        ("--meshes", "is not there"),
    ],
)
def test_missing_results_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    results = write_results(tmp_path / "a", until="denoising")
    assert export(results, tmp_path / "out", option) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "run the acquisition again" in error
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_clear_error(
    results: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("spherovem_core.export.labels.imagecodecs.deflate_encode", full)
    assert export(results, tmp_path / "out", "--tables", "--labels", "--workers", "1") == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "repeat it with --force" in error
    found = files(tmp_path / "out")
    assert "tables/units.csv" in found
    assert not [name for name in found if not name.startswith("tables/")]


def test_a_killed_export_leaves_no_half_file(results: Layout, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, str(results.folder), str(out)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "half way\n":
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    visible = {name for name in files(out) if not name.startswith(".")}
    assert visible == {
        f"tables/{name}.csv"
        for name in (
            "cells",
            "nuclei",
            "nanoparticles",
            "other_objects",
            "agglomerates",
            "contacts",
            "uptake",
            "slices",
            "radial",
            "ripley",
            "enrichment",
            "tests",
            "means",
            "totals",
            "suspects_cells",
            "suspects_nuclei",
            "suspects_nanoparticles",
            "units",
        )
    }
    assert ".unfinished/cells.ome.tif" in files(out)
    assert export(results, out, "--labels", "--workers", "1") == 0
    assert (tifffile.imread(out / "labels/cells.ome.tif") == cells()).all()
    assert not (out / ".unfinished").exists()

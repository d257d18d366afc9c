"""``spherovem evaluate`` prints and writes its figures, and refuses labels that cannot be compared in one line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from deployments.command_line.main import main

SHAPE = (6, 40, 50)


def two_boxes() -> tuple[np.ndarray, np.ndarray]:
    """Return two boxes, and a prediction that finds the first 100 nm too short along z and cuts the other in two."""
    truth, found = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint16)
    truth[:, 5:15, 5:45], found[:4, 5:15, 5:45] = 1, 1
    truth[:, 20:30, 5:45] = 2
    found[:, 20:30, 5:25], found[:, 20:30, 25:45] = 2, 3
    return truth, found


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, arguments)])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return code, printed.out, printed.err


def test_figures_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found = two_boxes()
    np.savez(tmp_path / "truth.npz", cells=truth, other=truth)
    tifffile.imwrite(tmp_path / "found.tif", found)
    out = tmp_path / "scores"
    code, printed, _ = run(
        capsys,
        *(tmp_path / "found.tif", f"{tmp_path}/truth.npz:cells", "--out", out),
        *("--spacing-nm", 50, 10, 10, "--min-piece-fraction", 0.2),
    )
    assert code == 0
    document = json.loads((out / "evaluation.json").read_text())
    figures = document["figures"]
    # Object 1 matches with IoU 4/6, object 2 with one of its halves at exactly 1/2.
    assert (figures["true_count"], figures["predicted_count"], figures["matched_count"]) == (2, 3, 2)
    assert figures["panoptic_quality"] == pytest.approx((4 / 6 + 1 / 2) / 2.5)
    assert (figures["true_split_count"], figures["predicted_fragment_count"]) == (1, 2)
    assert document["spacing_nm"] == [50, 10, 10]
    assert document["parameters"]["min_piece_fraction"] == 0.2
    assert len(document["thresholds"]) == 10
    objects = pd.read_parquet(out / "true_objects.parquet")
    assert objects["pieces"].tolist() == [1, 2]
    assert objects["iou"].tolist() == pytest.approx([4 / 6, 1 / 2])
    assert objects["volume_um3"].iloc[0] == pytest.approx(6 * 10 * 40 * 50 * 10 * 10 * 1e-9)
    assert "panoptic quality" in printed
    assert f"{figures['panoptic_quality']:.3f}" in printed
    assert str(out / "evaluation.json") in printed


def test_undefined_figures_are_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zarr.create_array(tmp_path / "empty.zarr", data=np.zeros(SHAPE, np.uint8))
    np.save(tmp_path / "some.npy", two_boxes()[0])
    arguments = (
        tmp_path / "empty.zarr",
        tmp_path / "some.npy",
        "--out",
        tmp_path,
        "--spacing-nm",
        50,
        10,
        10,
    )
    code, printed, _ = run(capsys, *arguments)
    assert code == 0
    figures = json.loads((tmp_path / "evaluation.json").read_text())["figures"]
    assert figures["f1"] == 0
    assert figures["boundary_mean_nm"] is None
    assert "nan nm" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("absent.npz", "truth.npy"), 1, "absent.npz do not exist"),
        (("small.npy", "truth.npy", "--spacing-nm", "50", "10", "10"), 1, "resample one onto the other"),
        (("float.npy", "truth.npy", "--spacing-nm", "50", "10", "10"), 1, "prediction holds float64"),
        (("truth.npy", "truth.npy"), 1, "has a voxel size; give the spacing"),
        (("spaced.npz", "other.npz"), 1, "resample one onto the other, or give"),
        (("truth.npy", "truth.npy", "--spacing-nm", "50", "10"), 2, "got 50 10; expected three"),
        (("truth.npy", "truth.npy", "--match-iou", "0.3"), 2, "--match-iou: input should be greater"),
        (("truth.npy",), 2, "required: TRUTH"),
        (
            ("truth.npy", "truth.npy", "--out", "truth.npy/out", "--spacing-nm", "1", "1", "1"),
            1,
            "cannot be written",
        ),
    ],
)
def test_labels_that_cannot_be_compared_are_refused_in_one_line(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    truth, _ = two_boxes()
    np.save("truth.npy", truth)
    np.save("small.npy", truth[:3])
    np.save("float.npy", truth.astype(float))
    np.savez("spaced.npz", labels=truth, spacing_nm=[50, 10, 10])
    np.savez("other.npz", labels=truth, spacing_nm=[40, 10, 10])
    found, _, error = run(capsys, *arguments)
    assert found == code
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("**/evaluation.json"))

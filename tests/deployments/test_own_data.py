"""Options of own data: which stages pass data through, which kinds are labelled or left out, and what is refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from deployments.command_line.main import keep_commas, main
from deployments.command_line.own_data import read_own_data, with_label_spacing
from deployments.run_parameters import build_parameters
from spherovem_core.errors import ParameterError
from spherovem_core.references import Acquisition

SHAPE = (6, 140, 260)
SPACING = (50.0, 10.0, 10.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "aligned"
    folder.mkdir()
    values = np.random.default_rng(0).integers(80, 160, SHAPE).astype(np.uint8)
    for z, plane in enumerate(values):
        tifffile.imwrite(folder / f"slice_{z}.tif", plane)
    np.save(tmp_path / "fine.npy", np.ones(SHAPE, np.uint16))
    np.save(tmp_path / "coarse.npy", np.ones((6, 70, 130), np.uint16))
    return folder


def chosen(*arguments: Any) -> tuple[str, dict[str, Any]]:
    own = read_own_data(*arguments)
    return own.first_stage, own.overrides


@pytest.mark.parametrize(
    ("start_at", "already", "labels", "first", "overrides"),
    [
        ("ingest", [], [], "ingest", {}),
        ("shape", [], [], "shape", {}),
        ("ingest", ["aligned"], [], "ingest", {"registration": {"model": "none"}}),
        ("registration", ["denoised"], [], "ingest", {"denoising": {"algorithm": "none"}}),
        (
            "segmentation",
            ["aligned"],
            [],
            "ingest",
            {"denoising": {"algorithm": "none"}, "registration": {"model": "none"}},
        ),
        ("ingest", [], ["nuclei=none"], "ingest", {"segmentation": {"nuclei": {"segmenter": "none"}}}),
        (
            "shape",
            [],
            ["cells=/a.tif"],
            "segmentation",
            {"segmentation": {"cells": {"segmenter": "imported", "network": "/a.tif"}}},
        ),
        (
            "shape",
            ["aligned"],
            ["cells=/a.tif"],
            "ingest",
            {
                "denoising": {"algorithm": "none"},
                "registration": {"model": "none"},
                "segmentation": {
                    "cells": {"segmenter": "imported", "network": "/a.tif"},
                    "nuclei": {"segmenter": "none"},
                },
                "nanoparticles": {"method": "none"},
            },
        ),
        (
            "nanoparticles",
            ["aligned", "denoised"],
            ["nuclei=/b.npz:n"],
            "ingest",
            {
                "denoising": {"algorithm": "none"},
                "registration": {"model": "none"},
                "segmentation": {
                    "cells": {"segmenter": "none"},
                    "nuclei": {"segmenter": "imported", "network": "/b.npz:n"},
                },
            },
        ),
        (
            "ingest",
            [],
            ["mitochondria=/m.tif"],
            "ingest",
            {"segmentation": {"others": {"mitochondria": "/m.tif"}}},
        ),
        (
            "segmentation",
            [],
            ["nanoparticles=/p.mrc"],
            "segmentation",
            {"nanoparticles": {"method": "imported", "labels": "/p.mrc"}},
        ),
    ],
)
def test_what_is_given_passes_through_the_stages_before(
    start_at: Any, already: list[str], labels: list[str], first: str, overrides: dict[str, Any]
) -> None:
    assert chosen(start_at, already, labels) == (first, overrides)
    build_parameters([overrides])


@pytest.mark.parametrize(
    ("start_at", "already", "labels", "message"),
    [
        ("ingest", ["sharp"], [], "expected denoised or aligned, or both: --already denoised aligned"),
        ("segmentation", ["denoised"], [], "takes SOURCE as registered.*add aligned"),
        ("shape", ["aligned"], [], "takes labels as given"),
        ("spatial", ["aligned"], ["cells=/a.tif"], "own data enter at ingest"),
        ("ingest", [], ["Mito chondria=/a.tif"], "expected KIND=FILE.*small letters"),
        ("ingest", [], ["mitochondria=none"], "KIND=none for one of cells, nuclei, nanoparticles"),
        ("ingest", [], ["cells"], "expected KIND=FILE"),
        ("ingest", [], ["cells=/a.tif", "cells=/b.tif"], "named twice"),
    ],
)
def test_contradictions_are_refused(
    start_at: Any, already: list[str], labels: list[str], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        read_own_data(start_at, already, labels)


@pytest.mark.parametrize(
    ("files", "chosen_nm", "expected"),
    [
        ({"cells": "fine.npy"}, None, 10.0),
        ({"cells": "coarse.npy"}, None, 20.0),
        ({"cells": "coarse.npy", "nuclei": "fine.npy"}, None, 10.0),
        ({"cells": "fine.npy"}, 40.0, 40.0),
        ({"nanoparticles": "fine.npy"}, None, 50.0),
    ],
)
def test_masks_take_the_voxel_size_of_the_finest_labels(
    source: Path, files: dict[str, str], chosen_nm: float | None, expected: float
) -> None:
    own = read_own_data(
        "shape", ["aligned"], [f"{kind}={source.parent / name}" for kind, name in files.items()]
    )
    acquisition = Acquisition(name="a", source=source, results_root=source.parent / "results")
    overrides: list[dict[str, Any]] = [{"ingest": {"spacing_nm": SPACING}}, own.overrides]
    if chosen_nm:
        sizes = {"mask_spacing_nm": chosen_nm}
        overrides.append({"segmentation": {"cells": sizes, "nuclei": sizes}})
    parameters = build_parameters([with_label_spacing(overrides, own, acquisition)])
    assert parameters.segmentation.cells.mask_spacing_nm == expected
    assert parameters.segmentation.nuclei.mask_spacing_nm == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--already", "aligned", "--labels", "cells={}/absent.tif"], "absent.tif does not exist"),
        (
            ["--already", "aligned", "--labels", "cells={}/wrong.npy"],
            "6 × 140 × 259 voxels .* expected 6 × 140 × 260",
        ),
        (["--start-at", "shape", "--labels", "cells={}/fine.npy"], "there is no registered image"),
        (["--labels"], "--labels: expected at least one value"),
        (["--start-at", "segmentation", "--already", "denoised"], "add aligned"),
    ],
)
def test_bad_options_are_one_message_and_no_results(
    source: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(source.parent / "wrong.npy", np.ones((6, 140, 259), np.uint8))
    results = source.parent / "results"
    arguments = [option.format(source.parent) for option in options]
    given = ["process", str(source), "--results-root", str(results), "--spacing-nm", "50", "10", "10"]
    assert main([*given, *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert re.search(message, shown)
    assert not results.exists()


def test_repeated_options_are_one_and_keep_their_commas() -> None:
    given = ["process", "src", "--labels", "cells=a,b.tif", "--set", "a.b=[1, 2]", "--labels=nuclei=n.tif"]
    expected = [
        "process",
        "src",
        "--set",
        '["a.b=[1, 2]"]',
        "--labels",
        '["cells=a,b.tif"]',
        '["nuclei=n.tif"]',
    ]
    assert keep_commas(given) == expected
    assert keep_commas(["other", "--labels", "x"]) == ["other", "--labels", "x"]

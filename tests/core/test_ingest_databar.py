"""Databars that no metadata state: found in the pixels, and told from borders and copies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingest_samples import SPACING_NM, textured, write_slices
from numpy.typing import NDArray

from spherovem_core.ingest import read_stack, survey_stack
from spherovem_core.parameters import IngestParameters, PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.steps.ingest import INGEST
from spherovem_core.workflow import RunRequest

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
ROWS = 12


def with_bar(volume: NDArray[Any], white: int, *, counter: bool = False) -> NDArray[Any]:
    """Cover the lower end of each slice with a black bar, white letters on it, and digits that count."""
    out = volume.copy()
    out[:, -ROWS:] = 10
    out[:, -ROWS] = white
    out[:, -ROWS + 4 : -4, 6:30:4] = white
    for z in range(len(out) if counter else 0):
        out[z, -ROWS + 4 : -4, 40 + z] = white
    return out


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("counter", [False, True], ids=["the same", "with a counter"])
def test_a_databar_is_cut_off(tmp_path: Path, dtype: str, counter: bool) -> None:
    volume = textured((9, 80, 64), dtype)
    folder = write_slices(tmp_path, with_bar(volume, int(0.9 * np.iinfo(dtype).max), counter=counter))
    stack = survey_stack(folder, GIVEN).stack
    assert (stack.metadata["databar_rows"], stack.metadata["databar_origin"]) == (ROWS, "pixels")
    np.testing.assert_array_equal(read_stack(folder, GIVEN).image, volume[:, :-ROWS])


def test_databar_rows_0_keep_it(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, with_bar(textured((9, 80, 64)), 240))
    stack = survey_stack(folder, GIVEN.model_copy(update={"databar_rows": 0})).stack
    assert stack.shape == (9, 80, 64)
    assert "databar_origin" not in stack.metadata


def test_a_border_without_lettering_belongs_to_the_image(tmp_path: Path) -> None:
    volume = textured((9, 80, 64))
    volume[:, -ROWS:] = 0
    assert survey_stack(write_slices(tmp_path, volume), GIVEN).stack.shape == volume.shape


@pytest.mark.parametrize("count", [1, 9], ids=["one slice", "copies of one slice"])
def test_slices_that_show_no_difference_have_no_databar(tmp_path: Path, count: int) -> None:
    volume = np.repeat(with_bar(textured((1, 80, 64)), 240), count, axis=0)
    assert survey_stack(write_slices(tmp_path, volume), GIVEN).stack.shape == volume.shape


def test_a_damaged_slice_does_not_hide_the_databar(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, with_bar(textured((9, 80, 64)), 240))
    first = folder / "slice_0000.tif"
    first.write_bytes(first.read_bytes()[:2000])
    report = survey_stack(folder, GIVEN)
    assert report.stack.shape == (9, 80 - ROWS, 64)
    assert report.problems


def test_results_without_its_databar_do_not_count(tmp_path: Path) -> None:
    plain = write_slices(tmp_path / "plain", textured((9, 80, 64)))
    barred = write_slices(tmp_path / "barred", with_bar(textured((9, 80, 64)), 240))

    def external(source: Path, rows: int | None) -> Mapping[str, str]:
        parameters = PipelineParameters(ingest=IngestParameters(databar_rows=rows))
        return INGEST.external(
            RunRequest(Acquisition(name=source.name, source=source, results_root=tmp_path), parameters)
        )

    assert external(plain, None).keys() == {"source"}
    assert external(barred, None)["databar"] == f"{ROWS} rows"
    assert external(barred, ROWS).keys() == {"source"}

"""Ingest for notebooks: its result in memory equals the stored one, and its examples run."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ingest_samples import SPACING_NM, textured, write_slices

from spherovem_core.errors import BadSlicesError
from spherovem_core.execution import Execution
from spherovem_core.ingest import in_memory, ingest_stack, open_stack, read_stack, survey
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, open_array, slice_shards

FILLING = IngestParameters(spacing_nm=SPACING_NM, on_bad_slice="interpolate", databar_rows=3)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Nine slices: the third is missing, the sixth blank."""
    volume = textured((9, 40, 64), "uint16")
    volume[5] = 0
    folder = write_slices(tmp_path / "source", volume, compression="lzw", rowsperstrip=8)
    (folder / "slice_0002.tif").unlink()
    return folder


@pytest.mark.parametrize("region", [WHOLE, RegionOfInterest(z_start=1, y_start=5, y_stop=30, x_stop=50)])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_stack_in_memory_equals_the_stored_one(
    source: Path, tmp_path: Path, region: RegionOfInterest, workers: int
) -> None:
    stack = open_stack(source, FILLING, region=region)
    spec = ArraySpec("raw", "image", stack.shape, stack.dtype, *slice_shards(stack.shape), stack.spacing_nm)
    writer = ArrayWriter(Layout(tmp_path / "results"), spec, "digest")
    with ThreadPoolExecutor(2) as executor:
        table = ingest_stack(stack, writer, Execution(executor=executor, workers=2))
    writer.commit()
    stored = open_array(Layout(tmp_path / "results"), "raw")
    with ThreadPoolExecutor(2) as executor:
        execution = Execution(executor=executor, workers=workers) if workers else None
        acquired = read_stack(source, FILLING, region=region, execution=execution)
    np.testing.assert_array_equal(acquired.image, stored[:])
    assert acquired.image.dtype == stored.dtype
    assert acquired.spacing_nm == stored.spacing_nm
    pd.testing.assert_frame_equal(acquired.table, table)
    assert acquired.table[["missing", "blank"]].any(axis=1).sum() == 2


def test_problems_are_raised_before_an_image_is_returned(source: Path) -> None:
    with pytest.raises(BadSlicesError, match=r"slice number missing: 2\n.*slice_0005\.tif: blank"):
        read_stack(source, IngestParameters(spacing_nm=SPACING_NM))


@pytest.mark.parametrize("module", [survey, in_memory])
def test_the_examples_run(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert (results.failed, results.attempted > 5) == (0, True)

"""Executors of the nanoparticles stage: threads, processes and a Dask cluster give the same bits as one thread."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from dask_clusters import cluster
from nanoparticle_scenes import SPACING_NM, make_scene, store_image

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution, ExecutionSettings, open_executor
from spherovem_core.nanoparticles import (
    SliceStatistics,
    collect_statistics,
    fit_statistics,
    mask_columns,
    segment_particles,
    slice_statistics,
)
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.layout import REGISTERED

PARAMETERS = NanoparticleParameters(split_touching=True, evidence_spacing_nm=20.0)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredArray:
    """Store an image on disk, as in a run: workers get the path of the array and read the regions they need."""
    folder = tmp_path_factory.mktemp("source")
    store_image(folder, make_scene((12, 160, 170), fraction=0.04, gain_drift=0.05).image)
    return open_array(Layout(folder), REGISTERED)


@pytest.fixture(autouse=True)
def _many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut a small image into several slabs of statistics and several columns per slab."""
    monkeypatch.setattr(slice_statistics, "SLAB_SLICES", 5)
    monkeypatch.setattr(mask_columns, "COLUMN_SIDE", 64)


def find(source: StoredArray, execution: Execution) -> tuple[SliceStatistics, list[MemorySink], pd.DataFrame]:
    statistics = collect_statistics(source, SPACING_NM, PARAMETERS, execution)
    mixture = fit_statistics(statistics, PARAMETERS)
    sinks = [MemorySink(np.zeros(source.shape, kind)) for kind in (np.float16, np.uint32, np.uint32)]
    table = segment_particles(source, SPACING_NM, mixture, *sinks, PARAMETERS, execution, depth=5)
    return statistics, sinks, table


def compare(stored: StoredArray, name: str) -> None:
    alone, expected, table = find(stored, Execution(device="cpu"))
    assert len(table) > 5
    with open_executor(ExecutionSettings(executor=name, workers=2)) as executor:
        pooled, sinks, other = find(stored, Execution(device="cpu", executor=executor, workers=2))
    for entry in fields(SliceStatistics):
        np.testing.assert_array_equal(getattr(alone, entry.name), getattr(pooled, entry.name))
    for a, b in zip(expected, sinks, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    pd.testing.assert_frame_equal(table, other, check_exact=True)


@pytest.mark.parametrize("name", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_threads_and_processes_give_the_same_bits_as_one_thread(stored: StoredArray, name: str) -> None:
    compare(stored, name)


def test_dask_cluster_gives_the_same_bits_as_one_thread(stored: StoredArray) -> None:
    pytest.importorskip("distributed", reason="the extra 'scale' is not installed")
    with cluster() as address:
        compare(stored, address)

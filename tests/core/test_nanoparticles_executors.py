"""Executors of the nanoparticles stage: threads, processes and a Dask cluster give the same bits as one thread."""

import numpy as np
import pandas as pd
import pytest
from ball_clumps import chain
from dask_clusters import cluster
from nanoparticle_scenes import COARSE_NM, Kind, make_scene, store_image

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution, ExecutionSettings, open_executor
from spherovem_core.nanoparticles import ParticleTables, write_particles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.layout import REGISTERED


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredArray:
    """Store an image on disk, as in a run: workers get the path of the array and read the regions they need."""
    folder = tmp_path_factory.mktemp("source")
    kinds = (Kind(20, 280.0), Kind(3, 280.0, clump=chain(2, (0, 0.2, 1))))
    store_image(folder, make_scene((16, 128, 130), kinds, COARSE_NM, gain_drift=0.05).image)
    return open_array(Layout(folder), REGISTERED)


def find(source: StoredArray, execution: Execution) -> tuple[list[MemorySink], ParticleTables]:
    sinks = [MemorySink(np.zeros(source.shape, kind)) for kind in (np.float16, np.uint8, np.uint32)]
    return sinks, write_particles(
        source, COARSE_NM, NanoparticleParameters(), *sinks, execution, depth=5, tile=32
    )


def compare(stored: StoredArray, name: str) -> None:
    expected, tables = find(stored, Execution(device="cpu"))
    assert tables.agglomerates.particle_count.max() > 1
    with open_executor(ExecutionSettings(executor=name, workers=2)) as executor:
        sinks, other = find(stored, Execution(device="cpu", executor=executor, workers=2))
    for a, b in zip(expected, sinks, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    for table in ("particles", "others", "agglomerates"):
        pd.testing.assert_frame_equal(getattr(tables, table), getattr(other, table), check_exact=True)
    assert tables.mixture == other.mixture


@pytest.mark.parametrize("name", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_threads_and_processes_give_the_same_bits_as_one_thread(stored: StoredArray, name: str) -> None:
    compare(stored, name)


def test_dask_cluster_gives_the_same_bits_as_one_thread(stored: StoredArray) -> None:
    pytest.importorskip("distributed", reason="the extra 'scale' is not installed")
    with cluster() as address:
        compare(stored, address)

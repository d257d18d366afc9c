"""Registration and warp on threads, processes and a Dask cluster: the same bits as on one thread."""

import numpy as np
import pytest
from dask_clusters import cluster
from numpy.typing import NDArray
from registration_scenes import make_stack, store_slices

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution, ExecutionSettings, open_executor
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import Alignment, register_stack, warp_stack
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.layout import DENOISED

PARAMETERS = RegistrationParameters()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredArray:
    """Store slices as a stage finds them; workers get a reference to the array and read what they need."""
    folder = tmp_path_factory.mktemp("source")
    store_slices(folder, make_stack(count=5).slices)
    return open_array(Layout(folder), DENOISED)


def run(source: StoredArray | NDArray[np.uint8], execution: Execution) -> tuple[Alignment, NDArray[np.uint8]]:
    alignment = register_stack(source, PARAMETERS, execution)
    warped = np.zeros((source.shape[0], *alignment.crop.shape), np.uint8)
    warp_stack(source, alignment, MemorySink(warped), PARAMETERS, execution)
    return alignment, warped


def compare(stored: StoredArray, name: str) -> None:
    with open_executor(ExecutionSettings(executor=name, workers=2)) as executor:
        for source in (stored, stored[:]):
            execution = Execution(device="cpu", executor=executor, workers=2)
            pooled, pooled_slices = run(source, execution)
            alone, slices = run(source, Execution(device="cpu"))
            np.testing.assert_array_equal(alone.transforms, pooled.transforms)
            assert alone.table.equals(pooled.table)
            np.testing.assert_array_equal(slices, pooled_slices)


@pytest.mark.parametrize("name", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_pool_gives_the_bits_of_one_thread(stored: StoredArray, name: str) -> None:
    compare(stored, name)


def test_a_dask_cluster_gives_the_bits_of_one_thread(stored: StoredArray) -> None:
    pytest.importorskip("distributed", reason="the extra 'scale' is not installed")
    with cluster() as address:
        compare(stored, address)

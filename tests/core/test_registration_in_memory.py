"""Registration of an array in memory: the same result as on stored volumes."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from registration_scenes import make_stack, store_slices

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import alignment as alignment_module
from spherovem_core.registration import apply_alignment, pairs, register_stack, warp_stack
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, Ledger, open_array, slice_shards
from spherovem_core.store.layout import DENOISED, REGISTERED


def test_memory_and_store_give_the_same_maps_table_and_slices(tmp_path: Path) -> None:
    slices, bad = make_stack(count=5, shape=(120, 136)).slices, [2]
    parameters = RegistrationParameters(interpolation="lanczos")
    in_memory = register_stack(slices, parameters, bad_slices=bad)
    warped = apply_alignment(slices, in_memory, parameters)

    store_slices(tmp_path, slices)
    source = open_array(Layout(tmp_path), DENOISED)
    shape = (5, *in_memory.crop.shape)
    spec = ArraySpec(REGISTERED, "image", shape, source.dtype, *slice_shards(shape), source.spacing_nm)
    writer = ArrayWriter(Layout(tmp_path), spec, "digest")
    with ThreadPoolExecutor(2) as executor:
        execution = Execution(executor=executor, workers=2)
        ledger = Ledger(tmp_path / "pairs", "digest")
        stored = register_stack(source, parameters, execution, bad, ledger)
        warp_stack(source, stored, writer, parameters, execution)
    writer.commit()

    np.testing.assert_array_equal(in_memory.transforms, stored.transforms)
    assert in_memory.crop == stored.crop
    assert in_memory.table.equals(stored.table)
    np.testing.assert_array_equal(warped, open_array(Layout(tmp_path), REGISTERED)[:])


def test_defaults_are_those_of_the_parameters() -> None:
    slices = make_stack(count=3, shape=(96, 100)).slices
    alignment = register_stack(slices)
    explicit = register_stack(slices, RegistrationParameters(), Execution())
    np.testing.assert_array_equal(alignment.transforms, explicit.transforms)
    np.testing.assert_array_equal(
        apply_alignment(slices, alignment), apply_alignment(slices, alignment, RegistrationParameters())
    )


def test_a_single_slice_is_refused_with_a_remedy() -> None:
    with pytest.raises(ShapeMismatchError, match=r"shape \(40, 52\); expected \(Z, Y, X\)"):
        register_stack(np.zeros((40, 52)))


@pytest.mark.parametrize("module", [alignment_module, pairs])
def test_the_examples_in_the_docstrings_run(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted > 0
    assert found.failed == 0

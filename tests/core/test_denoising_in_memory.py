"""Denoising of an array in memory: the same result as on stored volumes."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from denoising_scenes import add_noise, random_checkpoint, smooth_stack

from spherovem_core.blocks import slab_grid
from spherovem_core.denoising import denoise_stack, denoise_volume, in_memory, obtain_model
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, Ledger, open_array, slice_shards
from spherovem_core.store.layout import DENOISED, RAW

CPU = Execution(device="cpu")
NOISY = add_noise(smooth_stack((6, 40, 52)))
BAD = [2]
TINY = DenoisingParameters(
    patch_size=16, patches_per_slice=2, batch_size=4, epochs=1, network_depth=1, network_channels=8
)


def writer(folder: Path, group: str) -> ArrayWriter:
    spec = ArraySpec(
        group, "image", NOISY.shape, np.dtype(np.uint8), *slice_shards(NOISY.shape), (50.0, 10.0, 12.0)
    )
    return ArrayWriter(Layout(folder), spec, "digest")


def test_memory_and_store_give_the_same_image_and_quality(tmp_path: Path) -> None:
    in_memory_result = denoise_volume(NOISY, TINY, bad_slices=BAD, execution=CPU)

    raw, denoised = writer(tmp_path, RAW), writer(tmp_path, DENOISED)
    for block in slab_grid(NOISY.shape, 1):
        raw.write(block, NOISY[block.core])
    raw.commit()
    source = open_array(Layout(tmp_path), RAW)
    model = obtain_model(source, tmp_path / "models", TINY, CPU, BAD)
    ledger = Ledger(tmp_path / "ledger", "digest")
    quality = denoise_stack(source, denoised, model, TINY, CPU, BAD, ledger)
    denoised.commit()

    np.testing.assert_array_equal(in_memory_result.image, open_array(Layout(tmp_path), DENOISED)[:])
    assert in_memory_result.quality == quality


def test_a_given_model_is_used_without_training(tmp_path: Path) -> None:
    path = random_checkpoint(tmp_path / "model.ckpt", depth=1)
    denoised = denoise_volume(NOISY, DenoisingParameters(model=str(path)), execution=CPU)
    assert denoised.quality.loss == ()
    assert denoised.image.std() > 0


def test_a_model_folder_saves_the_second_training(tmp_path: Path) -> None:
    first = denoise_volume(NOISY, TINY, model_folder=tmp_path, execution=CPU)
    trained = (tmp_path / "n2v.ckpt").stat().st_mtime_ns
    again = denoise_volume(NOISY, TINY, model_folder=tmp_path, execution=CPU)
    assert (tmp_path / "n2v.ckpt").stat().st_mtime_ns == trained
    np.testing.assert_array_equal(again.image, first.image)


def test_a_single_slice_is_refused_with_a_remedy() -> None:
    with pytest.raises(ShapeMismatchError, match=r"shape \(40, 52\); expected \(Z, Y, X\)"):
        denoise_volume(NOISY[0], TINY)


def test_the_example_in_the_docstring_runs() -> None:
    found = doctest.testmod(in_memory)
    assert found.attempted > 0
    assert found.failed == 0

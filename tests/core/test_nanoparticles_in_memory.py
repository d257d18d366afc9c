"""`find_particles` on a volume in memory: equal to the blocked computation, and its example runs."""

import doctest
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nanoparticle_scenes import SPACING_NM, dice, make_scene

from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import find_particles, particles, write_particles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR


def test_volume_in_memory_gives_the_same_bits_as_blocks_on_disk(tmp_path: Path) -> None:
    scene = make_scene((24, 128, 130), fraction=0.04, gain_drift=0.05)
    shape, label_block = scene.image.shape, (8, 64, 64)
    parameters = NanoparticleParameters(split_touching=True, min_volume_nm3=1e5)

    def writer(folder: str, group: str, content: Any, dtype: str, *, by_slice: bool) -> ArrayWriter:
        shards = slice_shards(shape) if by_slice else (label_block, label_block)
        spec = ArraySpec(group, content, shape, np.dtype(dtype), *shards, SPACING_NM)
        return ArrayWriter(Layout(tmp_path / folder), spec, "digest")

    posterior = writer("results", POSTERIOR, "field", "float16", by_slice=True)
    slab_labels = writer("scratch", NANOPARTICLES, "label", "uint32", by_slice=True)
    labels = writer("results", NANOPARTICLES, "label", "uint32", by_slice=False)
    with ThreadPoolExecutor(2) as executor:
        table, mixture = write_particles(
            scene.image,
            SPACING_NM,
            parameters,
            posterior,
            slab_labels,
            labels,
            Execution(device="cpu", executor=executor, workers=2),
            bad_slices=[3],
            depth=5,
            label_block=label_block,
        )
    found = find_particles(scene.image, SPACING_NM, parameters, bad_slices=[3])
    assert len(found.table) > 10
    np.testing.assert_array_equal(found.labels, labels.stored[:])
    np.testing.assert_array_equal(found.posterior, posterior.stored[:])
    pd.testing.assert_frame_equal(found.table, table, check_exact=True)
    assert json.loads(found.mixture.to_json()) == json.loads(mixture.to_json())


def test_default_parameters_find_bright_balls() -> None:
    scene = make_scene((16, 200, 200))
    found = find_particles(scene.image, SPACING_NM)
    assert dice(found.labels > 0, scene.truth) > 0.96
    assert found.labels.max() == len(found.table)


def test_stack_without_particles_gives_the_reason_and_empty_results() -> None:
    found = find_particles(make_scene((16, 200, 200), fraction=0.0).image, SPACING_NM)
    assert not found.mixture.detected
    assert "nothing bright stands out" in found.mixture.reason
    assert len(found.table) == 0
    assert not found.labels.any()
    assert not found.posterior.any()


def test_image_type_is_checked() -> None:
    with pytest.raises(ParameterError, match="uint8 or uint16 images, not in float64; convert"):
        find_particles(np.zeros((2, 8, 8)), SPACING_NM)


def test_example_of_the_documentation_runs() -> None:
    result = doctest.testmod(particles)
    assert result.attempted > 0
    assert result.failed == 0

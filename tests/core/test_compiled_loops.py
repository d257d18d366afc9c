"""Compiled loops give the same bits in the process that compiles them and in those that load them from the cache.

Numba keeps a copy of a called function in the code of its caller, optimised a second time. The process that compiles runs the
first copy, one that loads the caller runs the second. Flags that let the compiler order sums anew, fuse or replace operations
make the two differ. Loops without such flags, loops that only Python calls, and those that are inlined are safe.
"""

import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

import spherovem_core

REORDERING = {"reassoc", "contract", "arcp", "afn"}

CALLED = {
    "depth_similarity_kernels._dot", "normal_equations_kernels._chunk_moments", "normal_equations_kernels._run_end",
    "normal_equations_kernels._sample_at_edge", "normal_equations_kernels._sample_run", "normal_equations_kernels._sum_chunk",
    "normal_equations_kernels._sum_gradients", "normal_equations_kernels._weigh_chunk", "normal_equations_kernels.sample_row",
    "pyramid_kernels._add_five", "pyramid_kernels._subtract_and_scale", "stripes_kernels._add",
    "stripes_kernels._subtract_between", "stripes_kernels._subtract_by_four", "stripes_kernels._thin_by_four",
}  # fmt: skip
"""Loops with such flags that compiled ones call. Both copies give the same bits: checked by the slow test below. Inlined, they
give others, and take minutes to compile. A new one needs no flag, or ``inline="always"``."""

PARALLEL = {
    "boosted_trees._evaluate", "dynamics._advance", "dynamics._compose", "dynamics._labels_at", "expansion._nearest",
    "voxel_features._derivatives",
}  # fmt: skip
"""Loops that run in threads, of which each iteration writes what no other reads or writes: none sums across iterations."""


def compiled_loops() -> Iterator[tuple[str, Any]]:
    found: set[int] = set()
    for module in pkgutil.walk_packages(spherovem_core.__path__, "spherovem_core."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(import_module(module.name)).values():
            for own in value.values() if isinstance(value, dict) else (value,):
                if isinstance(own, Dispatcher) and id(own) not in found:
                    found.add(id(own))
                    yield (
                        f"{own.py_func.__module__.rpartition('.')[2]}.{own.py_func.__name__}",
                        own,
                    )


def reorders(loop: Any) -> bool:
    flags = loop.targetoptions.get("fastmath", False)
    return flags is True or bool(REORDERING & set(flags or ()))


def test_no_compiled_loop_calls_one_whose_operations_are_reordered() -> None:
    loops = list(compiled_loops())
    assert len(loops) > 100
    called = set()
    for _, loop in loops:
        names = inspect.getclosurevars(loop.py_func)
        called |= {id(own) for own in (*names.globals.values(), *names.nonlocals.values())}
    found = {
        name
        for name, loop in loops
        if id(loop) in called and reorders(loop) and loop.targetoptions.get("inline") != "always"
    }
    assert found == CALLED


def test_loops_in_threads_are_those_that_sum_nothing_across_iterations() -> None:
    found = {name for name, loop in compiled_loops() if loop.targetoptions.get("parallel")}
    assert found == PARALLEL


HEAD = """
import hashlib
import numpy as np
def digest(*arrays):
    print([hashlib.sha256(np.ascontiguousarray(own).tobytes()).hexdigest()[:12] for own in arrays])
def numbers(table):
    return table.select_dtypes("number").to_numpy(float)
rng = np.random.default_rng(0)
"""
FILTERS = """
from scipy import ndimage
from spherovem_core.gaussian_filtering import filter_between_zeros, filter_repeating_border, gaussian_weights
from spherovem_core.segmentation.dynamics import follow_flows
volume = rng.random((14, 33, 47)).astype(np.float32)
weights = [gaussian_weights(sigma, reach) for sigma, reach in ((1.3, 4), (2.1, 7), (2.2, 7))]
digest(filter_repeating_border(volume, (1.3, 2.1, 2.2), (4, 7, 7)), filter_between_zeros(volume.copy(), weights))
flows = ndimage.gaussian_filter(rng.normal(size=(3, 20, 60, 60)), (0, 2, 3, 3)).astype(np.float32)
digest(follow_flows(flows * np.float32(2.5 / np.abs(flows).mean()), rng.random((20, 60, 60)) < 0.8))
"""
SHAPE = """
from spherovem_core.shape import measure_labels
grid = np.meshgrid(np.arange(20) * 50.0, np.arange(50) * 20.0, np.arange(50) * 20.0, indexing="ij")
away = sum((axis - centre) ** 2 for axis, centre in zip(grid, (480.0, 470.0, 530.0)))
labels = (away * (1 + 0.2 * np.sin(grid[1] / 70)) < 350.0**2).astype("uint32")
digest(numbers(measure_labels(labels, (50, 20, 20))))
"""
PARTICLES = """
from nanoparticle_scenes import make_scene
from spherovem_core.nanoparticles import find_particles
scene = make_scene()
found = find_particles(scene.image, scene.spacing_nm)
assert len(found.table) > 10
digest(found.labels, found.posterior, numbers(found.table))
"""
REGISTRATION = """
from registration_scenes import make_stack
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import apply_alignment, register_stack
slices = make_stack(8, (128, 150)).slices
for refinement in ("none", "elastic"):
    found = register_stack(slices, RegistrationParameters(refinement=refinement))
    digest(found.transforms, numbers(found.table), apply_alignment(slices, found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [FILTERS, SHAPE, PARTICLES, REGISTRATION])
def test_the_process_that_compiles_gives_the_same_as_those_after_it(script: str, tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HEAD + script]
    first, second = (subprocess.check_output(command, env=environment, text=True) for _ in range(2))
    assert list(tmp_path.rglob("*.nbc"))
    assert first == second

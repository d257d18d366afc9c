"""Array functions on the strict stand-in for CuPy, and what the code calls against the recorded signatures of CuPy."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from gpu_signatures import DISTRIBUTIONS, ROOT, Use, extract, recorded, signature, unpack, uses
from strict_arrays import CALLED, STAND_IN, DeviceArray, stand_in

from spherovem_core.gaussian_filtering import filter_between_zeros_on, gaussian_weights
from spherovem_core.repairs import find_stripes, remove_stripes
from spherovem_core.shape import measure_labels
from spherovem_core.spatial import distance_to_nucleus
from spherovem_core.utils.accelerator import Accelerator, accelerator

# Put in place by the stand-in itself, because they compute nothing.
WITHOUT_ARRAYS = {"cupy.cuda.Device", "cupy.get_default_memory_pool", "cupy.get_default_pinned_memory_pool"}
DEVICE = pytest.mark.parametrize("device", [STAND_IN])


def problem_of(use: Use) -> str | None:
    """Say what CuPy lacks of a use; None where all is there."""
    if use.name not in recorded()["names"]:
        return f"{use.where}: {use.name} does not exist"
    known = signature(use.name)
    if known is None or use.positional is None:
        return None
    try:
        known.bind_partial(*range(use.positional), **dict.fromkeys(use.keywords))
    except TypeError as error:
        return f"{use.where}: {use.name}: {error}"
    return None


def test_every_function_and_keyword_exists_in_cupy() -> None:
    found = uses()
    assert len({use.name for use in found}) > 20
    assert [problem for problem in map(problem_of, found) if problem] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("xp.nothing(1)", "cupy.nothing does not exist"),
        ("gpu.xp.clip(values, low=0)", "cupy.clip: got an unexpected keyword argument 'low'"),
        ("accelerator.ndi.correlate1d(a, b, c, d, e, f, g, h)", "too many positional arguments"),
        ("gpu.ski.measure.nothing(a)", "cucim.skimage.measure.nothing does not exist"),
        ("xp.linalg.nothing(a)", "cupy.linalg.nothing does not exist"),
    ],
)
def test_what_cupy_lacks_is_found_in_the_sources(line: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "module.py").write_text(f"def f():\n    return {line}\n")
    (use,) = uses(tmp_path / "core")
    assert expected in str(problem_of(use))
    assert use.where == "core/module.py:2"


def test_signatures_are_those_of_the_pinned_versions() -> None:
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert recorded()["packages"] == {name: pins[name] for name in DISTRIBUTIONS}


def test_signatures_equal_those_of_the_wheels(tmp_path: Path) -> None:
    wheels = ROOT / "build" / "wheels"
    if not all(list(wheels.glob(f"{name.replace('-', '_')}-*.whl")) for name in DISTRIBUTIONS):
        pytest.skip(
            f"no wheels of {' and '.join(DISTRIBUTIONS)} in {wheels}; see tests/core/gpu_signatures.py"
        )
    unpack(wheels, tmp_path)
    assert extract(tmp_path) == recorded()


@DEVICE
def test_stand_in_refuses_what_cupy_refuses(device: str) -> None:
    host = np.arange(6, dtype=np.float32)
    with accelerator(device) as gpu:
        array = gpu.to_device(host)
        assert gpu.on_gpu
        for refused in (
            lambda: np.asarray(array),
            lambda: np.concatenate([array, array]),
            lambda: array + host,
            lambda: host * array,
            lambda: gpu.xp.maximum(array, host),
            lambda: gpu.xp.stack([array, host]),
            lambda: gpu.ndi.correlate1d(array, np.ones(3)),
            lambda: array[host > 2],
            lambda: array.__setitem__(slice(None), host),
            lambda: gpu.xp.median(array, keep=True),
        ):
            with pytest.raises(TypeError):
                refused()
        for missing in ("fmod2", "busday_count"):
            with pytest.raises(AttributeError, match="is not in CuPy"):
                getattr(gpu.xp, missing)
        with pytest.raises(AttributeError, match="have no tostring"):
            array.tostring()
        assert isinstance(array.sum(), DeviceArray)
        assert isinstance(np.float32(2) * array, DeviceArray)
        np.testing.assert_array_equal(gpu.to_host(2 * array[1:]), 2 * host[1:])
    np.testing.assert_array_equal(host, np.arange(6))


def test_real_modules_are_back_after_the_stand_in() -> None:
    before = sys.modules.get("cupy")
    with stand_in():
        assert sys.modules["cupy"] is not before
    assert sys.modules.get("cupy") is before


def curtained_slice() -> np.ndarray:
    """Make noise with stripes of several widths that grow from top to bottom."""
    generator = np.random.default_rng(4)
    stripes = np.repeat(generator.normal(0, 24, 130), 3)[:384] * np.linspace(0, 1, 520)[:, None]
    return (120 + generator.normal(0, 4, (520, 384)) + stripes).astype(np.float32)


def without_stripes(image: np.ndarray, gpu: Accelerator) -> np.ndarray:
    array = gpu.to_device(image)
    stripes = find_stripes(array, gpu)
    assert stripes.found
    return gpu.to_host(remove_stripes(array, stripes, gpu))


@DEVICE
def test_stripes_on_the_stand_in_equal_those_of_numpy(device: str) -> None:
    image = curtained_slice()
    with accelerator("cpu") as cpu:
        expected = without_stripes(image, cpu)
    with accelerator(device) as gpu:
        found = without_stripes(image, gpu)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert expected.mean(0).std() < 0.5 * image.mean(0).std()


@DEVICE
def test_every_function_of_cupy_in_the_code_runs_on_the_stand_in(device: str) -> None:
    CALLED.clear()
    labels = np.zeros((12, 40, 44), np.uint32)
    labels[2:10, 5:35, 6:38] = 3
    nuclei = np.zeros_like(labels)
    nuclei[4:7, 12:22, 14:22] = 1
    spacing = (50.0, 10.0, 10.0)
    assert len(measure_labels(labels, spacing, device=device)) == 1
    assert np.nanmax(distance_to_nucleus(nuclei, labels, spacing, device=device)) > 0
    with accelerator(device) as gpu:
        without_stripes(curtained_slice(), gpu)
        filter_between_zeros_on(
            gpu, gpu.to_device(np.ones((4, 5, 6), np.float32)), [gaussian_weights(1, 2)] * 3
        )
    called = {use.name for use in uses() if use.positional is not None}
    assert called - CALLED - WITHOUT_ARRAYS == set()

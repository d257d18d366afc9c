"""The check of a GPU: its parts on devices that this machine has, its exit codes, and what counts as a failure."""

import importlib
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from gpu_devices import has_gpu
from pages import ROOT, benchmarks_on_path
from strict_arrays import STAND_IN, stand_in

TINY = {
    "slice_side": 192,
    "slices": 3,
    "compared_side": 96,
    "timed_side": 96,
    "tiles": 0,
    "training_slices": 4,
}


@pytest.fixture(scope="module")
def check() -> Iterator[Any]:
    """Import the script and its parts."""
    with benchmarks_on_path():
        script: ModuleType = importlib.import_module("gpu")
        yield SimpleNamespace(script=script, parts=importlib.import_module("_gpu_parts"))


@pytest.mark.parametrize(
    "name",
    [
        "distance",
        "shape",
        "registration",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("denoising", "flows", "masks")),
    ],
)
def test_part_compares_and_measures(check: Any, name: str) -> None:
    """The stand-in takes the part of CuPy, and PyTorch computes on the CPU."""
    with stand_in():
        found = check.parts.PARTS[name](check.parts.Devices("cpu", STAND_IN), check.parts.Sizes(**TINY))
    assert found.comparisons
    assert [each for each in found.comparisons if not each.holds] == []
    assert all(rate > 0 for rate in found.rates.values())


def test_without_a_gpu_one_line_says_so(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if has_gpu():
        pytest.skip("this machine has a GPU")
    assert check.script.main([]) == 3
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("gpu-check: no GPU for PyTorch: ")
    assert written.err.count("\n") == 1


def test_a_difference_an_error_and_a_part_left_out_are_failures(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = check.parts

    def differ(devices: Any, sizes: Any) -> Any:
        return part.Outcome(
            [part.Comparison("transforms, px", 0.5, 0.02), part.Comparison("other", 0.0, 0.1)],
            {"pairs/s": 3.0},
        )

    def fail(devices: Any, sizes: Any) -> Any:
        raise ValueError("no kernel")

    def interrupt(devices: Any, sizes: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(part, "PARTS", {"one": differ, "two": fail})
    parts: dict[str, Any] = {}
    check.script.run_parts(parts, ["one", "two"], None, None)
    monkeypatch.setattr(part, "PARTS", {"three": interrupt, "four": differ})
    with pytest.raises(KeyboardInterrupt):
        check.script.run_parts(parts, ["three", "four"], None, None)
    report = {"tests": {"failed": ["test_x"], "passed": 3}, "parts": parts}
    assert check.script.failures(report) == [
        "test test_x",
        "one: transforms, px differ by 0.5 (tolerance 0.02)",
        "two: ValueError: no kernel",
        "three: not done in time",
        "four: not done in time",
    ]
    assert parts["one"]["rates"] == {"pairs/s": 3.0}


def test_not_a_number_is_no_agreement(check: Any) -> None:
    assert not check.parts.Comparison("x", float("nan"), 1.0).holds


def test_every_file_with_the_mark_is_run(check: Any) -> None:
    names = {path.name for path in check.script._test_files()}
    assert {"test_accelerator.py", "test_registration_devices.py", "test_fine_tuning_training.py"} <= names
    assert "gpu-check:" in (ROOT / "Makefile").read_text()

"""Check of every GPU path in at most eight minutes: tests, CPU against GPU, seconds and rates as JSON.

    make gpu-check
    python benchmarks/gpu.py [--seconds 470] [--json FILE] [--parts PART ...]

Runs every test marked `gpu`, each of which must run and pass; then compares each stage on CPU and GPU and measures it on the
GPU. Cellpose-SAM has random weights, so that nothing is downloaded. A part that is not done in time is named as such.

Exit codes: 0 all holds; 1 a test or a comparison failed, or a part was left out; 3 there is no GPU that both PyTorch and CuPy can
use.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spherovem_core.errors import DeviceError
from spherovem_core.utils.accelerator import select_accelerator
from spherovem_core.utils.torch_device import torch_device

ROOT = Path(__file__).parents[1]
NO_GPU = 3
TEST_SECONDS = 200
"""Most seconds of the tests, so that the comparisons have their turn."""


def missing_gpu() -> str | None:
    """Say why no GPU can be used; None where PyTorch and CuPy both have one."""
    for library, select in (("PyTorch", torch_device), ("CuPy", select_accelerator)):
        try:
            select("cuda")
        except DeviceError as error:
            return f"no GPU for {library}: {error}"
    return None


def run_tests(seconds: float) -> dict[str, Any]:
    """Run the tests marked `gpu` in a process of its own, and count their outcomes."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            "-q",
            f"--junitxml={report}",
            *map(str, _test_files()),
        ]
        started = time.monotonic()
        try:
            subprocess.run(command, cwd=ROOT, timeout=seconds, check=False, stdout=sys.stderr)
        except subprocess.TimeoutExpired:
            return {"seconds": seconds, "failed": [f"not done after {seconds:.0f} s"], "passed": 0}
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    # A skipped test is a failure here: this machine has what it needs.
    bad = [
        case for case in cases if any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
    ]
    failed = [f"{case.get('classname')}.{case.get('name')}" for case in bad]
    if not cases:
        failed = ["no test marked gpu was found"]
    return {"seconds": time.monotonic() - started, "failed": failed, "passed": len(cases) - len(bad)}


def _test_files() -> list[Path]:
    """Find the files of tests that speak of the mark, so that the others need not be imported."""
    words = ("mark.gpu", "gpu_devices")
    return [
        path
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if any(word in path.read_text() for word in words)
    ]


def run_parts(found: dict[str, Any], names: Sequence[str], devices: Any, sizes: Any) -> None:
    """Run the parts, and add the comparisons and rates of each to `found`; those to come are there as left out."""
    from _gpu_parts import PARTS

    found.update({name: {"left_out": "not done in time"} for name in names})
    for name in names:
        started = time.monotonic()
        try:
            outcome = PARTS[name](devices, sizes)
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"}
            continue
        found[name] = {
            "seconds": time.monotonic() - started,
            "comparisons": [{**asdict(each), "holds": each.holds} for each in outcome.comparisons],
            "rates": outcome.rates,
        }
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def failures(report: dict[str, Any]) -> list[str]:
    """List what failed, differs beyond its tolerance or was left out."""
    found = [f"test {name}" for name in report["tests"]["failed"]]
    for name, part in report["parts"].items():
        found += [f"{name}: {part[kind]}" for kind in ("error", "left_out") if kind in part]
        found += [
            f"{name}: {each['what']} differ by {each['difference']:.2g} (tolerance {each['tolerance']:.2g})"
            for each in part.get("comparisons", [])
            if not each["holds"]
        ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=470, help="after these seconds the report is printed as it is"
    )
    parser.add_argument("--json", type=Path, help="file for the report, which is printed in any case")
    parser.add_argument("--parts", nargs="+", help="only these parts")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    reason = missing_gpu()
    if reason:
        print(f"gpu-check: {reason}", file=sys.stderr)
        return NO_GPU
    import torch
    from _gpu_parts import PARTS, Devices, Sizes

    names = options.parts or list(PARTS)
    report: dict[str, Any] = {"gpu": torch.cuda.get_device_name(0), "tests": {"failed": ["not done in time"]}}
    report["parts"] = {name: {"left_out": "not done in time"} for name in names}

    def finish() -> int:
        report["failures"] = failures(report)
        report["seconds"] = time.monotonic() - started
        text = json.dumps(report, indent=1)
        print(text, flush=True)
        if options.json:
            options.json.write_text(text + "\n")
        return 1 if report["failures"] else 0

    # Kernels and training take no notice of a time limit: at the end of the time the process reports what it has and goes.
    timer = threading.Timer(options.seconds, lambda: os._exit(finish()))
    timer.daemon = True
    timer.start()
    report["tests"] = run_tests(TEST_SECONDS)
    run_parts(report["parts"], names, Devices("cuda:0", "cuda:0"), Sizes())
    timer.cancel()
    return finish()


if __name__ == "__main__":
    sys.exit(main())

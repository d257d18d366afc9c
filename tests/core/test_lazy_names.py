"""Names of packages that are imported when they are first used."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import spherovem_core

PACKAGES = [
    "corrections",
    "denoising",
    "ingest",
    "nanoparticles",
    "registration",
    "review",
    "segmentation",
    "shape",
    "store",
]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there_and_no_module_takes_its_place(name: str) -> None:
    package = importlib.import_module(f"spherovem_core.{name}")
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    for exported in package.__all__:
        found = getattr(package, exported)
        assert not isinstance(found, type(spherovem_core))
        assert exported not in modules or exported in vars(package)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = package.absent


def test_a_package_costs_nothing_before_it_is_used() -> None:
    names = ", ".join(f"spherovem_core.{name}" for name in PACKAGES if name != "ingest")
    ask = f"import sys, {names}; print([name for name in ('numpy', 'pandas', 'zarr', 'numba', 'torch') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"

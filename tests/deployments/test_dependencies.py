"""Every package that the code imports is declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = {"spherovem_core", "tasks", "flows", "deployments"}
OPTIONAL = ("gpu", "scale", "napari", "neuroglancer", "dm", "hdf5", "tensorstore", "remote")
"""Extras whose packages the code imports where they are installed."""


def imported() -> Iterator[str]:
    """Yield the top-level packages that the installed code imports."""
    for package in sorted(OWN):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module.partition(".")[0]


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in OPTIONAL for name in project["optional-dependencies"][extra]]
    names = [re.split(r"[\\[<>=! ]", each)[0] for each in (*project["dependencies"], *extras)]
    names += [
        extra for each in (*project["dependencies"], *extras) for extra in re.findall(r"\[(\w+)\]", each)
    ]
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def test_every_imported_package_is_declared() -> None:
    distributions = packages_distributions()
    missing = set()
    for name in set(imported()) - OWN - set(sys.stdlib_module_names):
        owners = {re.sub(r"[-_.]+", "-", each).lower() for each in distributions.get(name, [])}
        # Extras that are not installed here have no distribution to ask.
        if not (owners & declared()) and not any(name in each for each in declared()):
            missing.add(f"{name} ({', '.join(sorted(owners)) or 'not installed'})")
    assert not missing

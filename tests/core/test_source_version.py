"""Version of the program with the commit of its source, and the packages that provenance names."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

from spherovem_core.store.provenance import PACKAGES, package_versions
from spherovem_core.utils import source_version
from spherovem_core.utils.source_version import commit_of, program_version

ROOT = Path(__file__).parents[2]
NO_VALUES = {
    "httpx": "talks to the server",
    "jinja2": "writes the report",
    "markupsafe": "writes the report",
    "matplotlib": "draws",
    "mpl_toolkits": "draws",
    "prefect_dask": "starts workers",
    "psutil": "reads memory",
    "yaozarrs": "reads metadata of images",
}
"""Imported packages that leave the values of results as they are, and what they do."""


def imported() -> set[str]:
    found = set()
    for path in (
        path for folder in ("spherovem_core", "tasks", "flows") for path in (ROOT / folder).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"spherovem_core", "tasks", "flows", "deployments"}


def test_provenance_names_every_imported_package_that_touches_values() -> None:
    names = packages_distributions()
    used = imported()
    assert used >= {"xxhash", "numba", "scipy", "cv2", "torch", "sklearn"} | set(NO_VALUES)
    unnamed = {
        module
        for module in used - set(NO_VALUES)
        # Libraries of a GPU are installed on machines with one.
        if module in names and not {each.replace("_", "-") for each in names[module]} & set(PACKAGES)
    }
    assert not unnamed


def test_the_versions_are_those_installed() -> None:
    found = package_versions()
    assert found["spherovem"] == program_version()
    assert {
        name: found[name] for name in ("numpy", "xxhash", "numba", "scipy", "scikit-learn", "pydantic-core")
    } == {
        name: version(name) for name in ("numpy", "xxhash", "numba", "scipy", "scikit-learn", "pydantic-core")
    }


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", folder, *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "module.py").write_text("A = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_of_a_checkout_is_found_and_whether_files_differ_from_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "tag", "v9")
    assert commit_of(checkout) == commit
    (checkout / "module.py").write_text("A = 2\n")
    assert commit_of(checkout) == f"{commit}-dirty"
    monkeypatch.setattr(source_version, "CHECKOUT", checkout)
    program_version.cache_clear()
    assert program_version() == f"{version('spherovem')}+g{commit[:12]}.dirty"
    program_version.cache_clear()


def test_a_folder_in_the_repository_of_another_program_has_no_commit(checkout: Path) -> None:
    (checkout / "site-packages").mkdir()
    assert commit_of(checkout / "site-packages") is None


def test_the_version_stands_alone_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit_of(checkout) is None
    monkeypatch.setattr(source_version, "CHECKOUT", checkout.parent)
    program_version.cache_clear()
    assert program_version() == version("spherovem")
    program_version.cache_clear()


def test_an_installation_from_a_repository_names_its_commit() -> None:
    noted = (
        '{"url": "ssh://git@forge/spherovem", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}'
    )
    assert source_version._installed_commit(noted) == "0123456789abcdef"
    assert source_version._installed_commit('{"url": "file:///tmp/x", "dir_info": {}}') is None
    assert source_version._installed_commit(None) is None

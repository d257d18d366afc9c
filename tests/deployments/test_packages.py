"""Packages: the environment fits together, pins have hashes, the metadata are complete."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^ \\]+)([^\\]*)\\$((?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)+)", re.MULTILINE
)


def pins() -> list[tuple[str, str, str, str]]:
    return PIN.findall((ROOT / "constraints.txt").read_text())


def test_the_installed_packages_fit_together() -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("no uv beside this interpreter")
    done = subprocess.run(
        [uv, "pip", "check", "--python", sys.executable], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_pin_has_the_hashes_of_its_files() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith(("#", " "))]
    assert len(named) > 300
    assert len(pins()) == len(named), "run make pins"


def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    """uv verifies hashes of constraints, by which `make` installs; if that ended, the pins would say more than is true."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("no uv beside this interpreter")
    wheel = tmp_path / "tampered-1.0-py3-none-any.whl"
    write_wheel(wheel)
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("tampered==1.0 --hash=sha256:" + "0" * 64 + "\n")
    command = [uv, "pip", "install", "--no-index", "--find-links", tmp_path, "--target", tmp_path / "out"]
    refused = subprocess.run(
        [*command, "-c", constraints, "tampered"], capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "hash" in refused.stderr.lower()
    subprocess.run([*command, "tampered"], capture_output=True, check=True)
    assert (tmp_path / "out" / "tampered.py").is_file()


def write_wheel(path: Path) -> None:
    import zipfile

    info = "tampered-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tampered.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tampered\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_metadata_have_ranges_that_hold_the_pinned_versions() -> None:
    pinned: dict[str, set[str]] = {}
    for name, version, _, _ in pins():
        pinned.setdefault(canonicalize_name(name), set()).add(version)
    extras = PROJECT["optional-dependencies"]
    for text in (*PROJECT["dependencies"], *(each for extra in extras for each in extras[extra])):
        requirement = Requirement(text)
        assert not any(each.operator == "==" for each in requirement.specifier), text
        versions = pinned.get(canonicalize_name(requirement.name))
        assert versions, f"{text} has no pin in constraints.txt"
        assert all(requirement.specifier.contains(version) for version in versions), (text, versions)


def test_classifiers_name_the_supported_pythons() -> None:
    named = {each.rpartition(" :: ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)}
    supported = SpecifierSet(PROJECT["requires-python"])
    assert named == {f"3.{minor}" for minor in range(11, 15)}
    assert all(supported.contains(f"{each}.0") for each in named)
    assert not supported.contains("3.10.0")
    for field in ("description", "readme", "license", "authors", "keywords"):
        assert PROJECT[field]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ([], {"extras": "test,scale,docs", "stamp": ".installed", "cpu": False}),
        (["CPU=true"], {"extras": "test,scale,docs", "stamp": ".installed-cpu", "cpu": True}),
        (["GPU=true"], {"extras": "test,scale,docs,gpu", "stamp": ".installed-gpu", "cpu": False}),
    ],
)
def test_one_variable_chooses_the_set_up(
    tmp_path: Path, choice: list[str], wanted: dict[str, object]
) -> None:
    command = ["make", "--dry-run", "env", f"VENV={tmp_path}/venv", *choice]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"-e '.[{wanted['extras']}]'" in said
    assert f"touch {tmp_path}/venv/{wanted['stamp']}\n" in said
    assert ("--torch-backend cpu" in said) == wanted["cpu"]


def test_an_environment_keeps_its_choice(tmp_path: Path) -> None:
    (tmp_path / ".installed-cpu").touch()
    command = ["make", "--dry-run", "--always-make", "env", f"VENV={tmp_path}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--torch-backend cpu" in said
    both = subprocess.run([*command, "GPU=true"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert both.returncode != 0
    assert "exclude each other" in both.stderr

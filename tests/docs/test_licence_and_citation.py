"""Licence, citation and changelog: they fit the package, and no dependency has a licence that conflicts with ours."""

import datetime
import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())

FREE = re.compile(
    r"BSD|MIT|Apache|PSF|Python Software Foundation|ISC|MPL|Mozilla|LGPL|Lesser General Public|Unlicense|Artistic|CNRI|"
    r"Zlib|0BSD|CC0|HPND|NVIDIA|Other/Proprietary"
)
STRICT = re.compile(r"(?<!Lesser )(?<!L)(?<!Lesser)(AGPL|GPL|General Public License)")
# The installed metadata of these packages name no licence; these come from their repositories.
KNOWN_LICENCES = {
    "bioimageio-core": "MIT",
    "bioimageio-spec": "MIT",
    "cuda-toolkit": "NVIDIA",
    "segment-anything": "Apache-2.0",
}


def needed_packages() -> set[str]:
    """Find the installed packages that spherovem needs without extras, directly or indirectly."""
    found: set[str] = set()
    waiting = ["spherovem"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for requirement in map(Requirement, requirements):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found - {"spherovem"}


def stated_licences(package: str) -> Iterator[str]:
    """List the licences of a package; the first line of a full text names it."""
    own = metadata.metadata(package)
    expression = own.get("License-Expression")
    if expression:
        yield expression
        return
    classifiers = [c for c in own.get_all("Classifier") or [] if c.startswith("License ::")]
    yield from classifiers
    if not classifiers:
        yield from [line for line in (own.get("License") or "").splitlines() if line.strip()][:1]
    if package in KNOWN_LICENCES:
        yield KNOWN_LICENCES[package]


def test_every_dependency_has_a_compatible_licence() -> None:
    packages = needed_packages()
    assert {"torch", "cellpose", "edt", "prefect", "numpy"} <= packages
    refused = {
        package: list(stated_licences(package))
        for package in sorted(packages)
        if not any(FREE.search(stated) and not is_strict(stated) for stated in stated_licences(package))
    }
    assert refused == {}


def is_strict(stated: str) -> bool:
    """Return whether a licence offers no choice but the GPL or AGPL."""
    return bool(STRICT.search(stated)) and not re.search(r"\bOR\b", stated)


@pytest.mark.parametrize(
    ("stated", "strict"),
    [
        ("GPL-3.0-or-later", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0-only", True),
        ("LGPL-3.0-or-later", False),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", False),
        ("Apache-2.0 OR GPL-2.0-only", False),
        ("BSD-3-Clause", False),
    ],
)
def test_strict_licences_are_recognised(stated: str, strict: bool) -> None:
    assert is_strict(stated) is strict


def test_package_file_and_citation_name_the_same_licence() -> None:
    assert PROJECT["license"] == CITATION["license"] == "BSD-3-Clause"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License\n")


def test_the_citation_has_the_fields_of_its_format() -> None:
    # Citation File Format 1.2.0.
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert {"message", "title", "authors"} <= set(CITATION)
    assert str(CITATION["version"]) == PROJECT["version"]
    for work in [CITATION, *CITATION["references"]]:
        assert work["title"]
        assert work["authors"]
        for author in work["authors"]:
            assert set(author) in ({"name"}, {"family-names", "given-names"})
    for reference in CITATION["references"]:
        assert reference["type"] in {"article", "conference-paper"}
        assert re.fullmatch(r"10\.\d{4,9}/\S+", reference["doi"])
        assert 1900 < reference["year"] <= datetime.datetime.now().year


def test_the_changelog_starts_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == PROJECT["version"]
    assert headings == sorted(headings, reverse=True)

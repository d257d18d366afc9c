"""Built pages: no warning, no network, and the same parameters, columns and commands as the code."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT
from pydantic import BaseModel

from deployments.command_line.commands import COMMANDS
from spherovem_core.parameters import PipelineParameters
from spherovem_core.schema import arrays, tables
from spherovem_core.stages import STAGE_NAMES


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs")
    options = [
        "--fail-on-warning",
        "--keep-going",
        "--nitpicky",
        "--quiet",
        "--doctree-dir",
        str(out / "cache"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(out / "html")],
        text=True,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


def test_pages_load_nothing_from_a_network(built: Path) -> None:
    fetched = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\bsrc=\"(?:https?:)?//[^\"]*\"|"
        r"<link[^>]*rel=\"(?:stylesheet|preload|preconnect|icon)\"[^>]*href=\"(?:https?:)?//[^\"]*\"|"
        r"@import[^;]*//|url\(\s*['\"]?(?:https?:)?//"
    )
    files = [*built.rglob("*.html"), *built.rglob("*.css")]
    assert len(files) > 15
    assert {f"{file.name}: {found}" for file in files for found in fetched.findall(file.read_text())} == set()


def leaves(model: BaseModel) -> Iterator[str]:
    """Yield the names of all parameters, those of nested groups included."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value)
        else:
            yield name


@pytest.mark.parametrize("group", PipelineParameters.model_fields)
def test_every_parameter_is_on_a_stage_page(built: Path, group: str) -> None:
    pages = " ".join(page.read_text() for page in (built / "stages").glob("*.html"))
    names = list(leaves(getattr(PipelineParameters(), group)))
    assert names
    assert [name for name in names if f">{name}</span>" not in pages] == []


def test_every_array_and_column_is_in_the_reference(built: Path) -> None:
    page = (built / "results.html").read_text()
    names = [array.group for array in arrays()] + [
        column.name for table in tables() for column in table.columns
    ]
    assert [name for name in names if f">{name}</span>" not in page] == []


def test_every_command_has_its_section(built: Path) -> None:
    sections = re.findall(r"<h2>([a-z-]+)<", (built / "command-line.html").read_text())
    assert sections == list(COMMANDS)


def test_every_stage_page_has_all_sections() -> None:
    pages = sorted((ROOT / "docs" / "stages").glob("*.md"))
    assert [page.stem for page in pages] == sorted(STAGE_NAMES)
    for page in pages:
        headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
        assert headings[:2] == ["Method", "Parameters"], page.name
        assert headings[2] == "Quality control", page.name
        assert headings[3] == "When it fails", page.name
        assert len(set(headings)) == len(headings), f"{page.name} has a section twice"
        cited = set(re.findall(r"\[(\d)(?:, (\d))?\]", page.read_text()))
        if page.name != "output.md":
            assert cited, f"{page.name} cites nothing"
            assert headings[-1] == "References", page.name


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_stages_are_listed_by_their_names_in_order(page: str) -> None:
    rows = re.findall(
        r"^\|.*?\[(\w+)\]\((?:docs/)?stages/(\w+)\.md\)", (ROOT / page).read_text(), re.MULTILINE
    )
    assert rows == [(name, name) for name in STAGE_NAMES]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "deployments" / "README.md"], ids=lambda page: page.parent.name
)
def test_links_lead_to_existing_files(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
    assert targets or page.parent != ROOT

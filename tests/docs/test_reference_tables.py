"""The tables of parameters and stages in the documentation follow the code."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pages import ROOT
from pydantic import BaseModel, Field

from spherovem_core.synthetic.phantom import SCENES, PhantomParameters


@pytest.fixture
def reference_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(ROOT / "docs" / "extensions")
    import reference_tables

    yield reference_tables
    del sys.modules["reference_tables"]


class Group(BaseModel):
    """A group of parameters within a stage."""

    size: int = Field(default=2, ge=1, description="Size.")


class EverydayOnly(BaseModel):
    """A model of which no parameter is marked."""

    size: float = Field(default=0.5, description="Size.")
    name: str = Field(default="a", description="Name.")


class Mixed(EverydayOnly):
    """A model with a parameter for experts and a group."""

    momentum: float = Field(default=0.9, description="Momentum.", json_schema_extra={"expert": True})
    cells: Group = Field(default_factory=Group, description="Parameters of cells.")


def first_cells(lines: list[str]) -> list[str]:
    return [line.split("|")[1].strip() for line in lines if line.startswith("| `")]


def test_a_model_without_marks_is_one_table(reference_tables: Any) -> None:
    lines = list(reference_tables.model_tables(EverydayOnly()))
    assert first_cells(lines) == ["`size`", "`name`"]
    assert sum(line.startswith(("| ---", "| parameter")) for line in lines) == 2
    assert not [line for line in lines if "Expert" in line]


def test_the_page_of_the_phantom_lists_every_scene_and_parameter(reference_tables: Any) -> None:
    page = (ROOT / "docs" / "phantoms.md").read_text()
    for directive, names in (("scene-table", SCENES), ("phantom-parameters", PhantomParameters.model_fields)):
        assert f"{{{directive}}}" in page
        made = reference_tables.DIRECTIVES[directive].__new__(reference_tables.DIRECTIVES[directive])
        assert first_cells(list(made.markdown())) == [f"`{name}`" for name in names]


def test_expert_parameters_and_groups_have_tables_of_their_own(reference_tables: Any) -> None:
    lines = list(reference_tables.model_tables(Mixed()))
    assert first_cells(lines) == ["`size`", "`name`", "`momentum`", "`size`"]
    expert = lines.index("Expert parameters, which rarely need a change:")
    group = lines.index("**`cells`**: Parameters of cells")
    assert lines[expert + 4].startswith("| `momentum` |")
    assert lines[group + 4].startswith("| `size` | `2` | ≥ 1 |")
    assert expert < group


def test_a_stage_links_to_its_page_where_it_has_one(reference_tables: Any) -> None:
    pages = {"index", "stages/shape"}
    assert reference_tables.stage_link(pages, "shape") == "[shape](/stages/shape.md)"
    assert reference_tables.stage_link(pages, "spatial") == "spatial"

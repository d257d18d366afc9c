"""``acquisition.json``: entries with a meaning, near misses, and the published schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from spherovem_core.ingest.description import AcquisitionEntries, description_schema, read_description

SCHEMA = Path(__file__).parents[2] / "spherovem_core" / "ingest" / "templates" / "acquisition.schema.json"
GOOD: list[dict[str, Any]] = [
    {},
    {"spacing_nm": [50, 10, 10]},
    {"spacing_nm": [60.5, None, None], "slice_count": 412, "operator": "N. N.", "notes": {"dose": 3}},
    {"spacing_nm": None, "exclude_slices": {"12-18": "charging", "slice_0042.tif": "fold"}},
    {"$schema": "acquisition.schema.json", "exclude_slices": ["3: fold"]},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"spacing_nm": [0, 10, 10]}, "spacing_nm is [0, 10, 10]; expected three numbers"),
    ({"spacing_nm": [50, 10]}, "spacing_nm is [50, 10]; expected three"),
    ({"spacing_nm": "50"}, 'spacing_nm is "50"; expected three'),
    ({"slice_count": 0}, "slice_count is 0; expected a positive whole number"),
    ({"slice_count": "12"}, 'slice_count is "12"; expected'),
    ({"exclude_slices": {"3": ""}}, "names no reason"),
    ({"exclude_slices": ["3"]}, "names no reason"),
    ({"exclude_slices": 3}, "3 is no list"),
]


def read(folder: Path, content: Any) -> Any:
    (folder / "acquisition.json").write_text(json.dumps(content), encoding="utf-8-sig")
    return read_description(folder)


def test_the_published_schema_is_that_of_the_code() -> None:
    """`publish_schema` writes it."""
    assert json.loads(SCHEMA.read_text()) == description_schema()
    jsonschema.Draft202012Validator.check_schema(description_schema())
    assert set(AcquisitionEntries.model_fields) <= set(description_schema()["properties"])


@pytest.mark.parametrize("content", GOOD)
def test_schema_and_reader_accept_the_same(tmp_path: Path, content: dict[str, Any]) -> None:
    jsonschema.validate(content, description_schema())
    found = read(tmp_path, content)
    assert (found.problems, found.content) == ((), content)


@pytest.mark.parametrize(("content", "message"), BAD)
def test_schema_and_reader_refuse_the_same(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, description_schema())
    (problem,) = read(tmp_path, {**content, "operator": "N. N."}).problems
    assert message in problem.found


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("spacing", "spacing_nm"),
        ("Spacing_nm", "spacing_nm"),
        ("spacing_um", "spacing_nm"),
        ("voxel_size", "spacing_nm"),
        ("pixel size nm", "spacing_nm"),
        ("slice_cuont", "slice_count"),
        ("excluded_slices", "exclude_slices"),
        ("exclude", "exclude_slices"),
        ("excluded", "exclude_slices"),
        ("bad_slices", "exclude_slices"),
    ],
)
def test_an_entry_with_nearly_the_right_name_is_refused(tmp_path: Path, name: str, right: str) -> None:
    (problem,) = read(tmp_path, {name: 3}).problems
    assert problem.found.startswith(f"{name} has no meaning; expected {right} with ")


@pytest.mark.parametrize("name", ["databar_rows", "on_bad_slice", "value_range", "slice-number-step"])
def test_a_parameter_of_the_stage_is_refused(tmp_path: Path, name: str) -> None:
    (problem,) = read(tmp_path, {name: 3}).problems
    assert problem.found.startswith(f"{name} is a parameter")
    assert f"--set ingest.{name.replace('-', '_')}=" in problem.found


@pytest.mark.parametrize(
    "name",
    [
        "dataset",
        "operator",
        "instrument",
        "notes",
        "sample",
        "comment",
        "count",
        "slices",
        "dose",
        "z",
        "date",
    ],
)
def test_other_entries_are_kept(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, {name: 3})
    assert (found.problems, found.content) == ((), {name: 3})


def test_a_wrong_entry_leaves_the_others(tmp_path: Path) -> None:
    found = read(tmp_path, {"spacing_nm": [50, 10, 10], "slice_count": -1, "spacng_nm": 1})
    assert found.voxel_size is not None
    assert found.slice_count is None
    assert set(found.faults) == {"slice_count", "spacng_nm"}

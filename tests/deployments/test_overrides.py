"""Parameters from file and command line: merged in order, and every mistake in one message."""

from pathlib import Path

import pytest

from deployments.command_line.parameter_values import (
    build_parameters,
    merge,
    parse_assignment,
    parse_region,
    read_overrides,
)
from spherovem_core.errors import ParameterError
from spherovem_core.parameters import PipelineParameters
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest


def test_no_override_is_the_daily_setting() -> None:
    assert build_parameters([]) == PipelineParameters()


def test_defaults_of_cells_stay_those_of_cells() -> None:
    """Also where a part of the parameters comes as it is, such as by ``prefect deployment run -p``."""
    part = {"cells": {"network": "mine.pt"}, "nuclei": {"network": "mine.pt"}}
    for built in (build_parameters([part]), PipelineParameters.model_validate(part)):
        assert (built.cells.min_diameter_um, built.nuclei.min_diameter_um) == (2.0, 1.0)
        assert built.registration == PipelineParameters().registration
    schema = PipelineParameters.model_json_schema()["$defs"]
    shown = [schema[name]["properties"] for name in ("CellParameters", "ObjectParameters")]
    assert [properties["min_diameter_um"]["default"] for properties in shown] == [2.0, 1.0]
    own = {key: value["description"] for key, value in shown[0].items()}
    assert own == {key: value["description"] for key, value in shown[1].items()}


def test_later_overrides_win_and_leave_their_neighbours() -> None:
    built = build_parameters(
        [{"registration": {"model": "rigid", "levels": 3}}, parse_assignment("registration.model=affine")]
    )
    assert built.registration.model == "affine"
    assert built.registration.levels == 3
    assert built.cells == PipelineParameters().cells


def test_merge_changes_neither_mapping() -> None:
    base, override = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merge(base, override) == {"a": {"b": 1, "c": 2}}
    assert (base, override) == ({"a": {"b": 1}}, {"a": {"c": 2}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("registration.link_distances=[1, 2]", {"registration": {"link_distances": [1, 2]}}),
        ("ingest.databar_rows=null", {"ingest": {"databar_rows": None}}),
        ("cells.network=/a=b", {"cells": {"network": "/a=b"}}),
    ],
)
def test_assignments_are_yaml(text: str, value: object) -> None:
    assert parse_assignment(text) == value


@pytest.mark.parametrize("text", ["registration.model", "=1", "a..b=1", "a.b=[1"])
def test_a_malformed_assignment_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="--set"):
        parse_assignment(text)


def test_all_mistakes_come_in_one_message() -> None:
    with pytest.raises(ParameterError) as caught:
        build_parameters([{"registration": {"modle": "rigid", "levels": 99}, "shapes": {}}])
    message = str(caught.value)
    assert "unknown parameter registration.modle (did you mean model?)" in message
    assert "registration.levels: input should be less than or equal to" in message
    assert "got 99" in message
    assert "unknown parameter shapes (did you mean shape?)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "said"), [("- 1", "holds list"), ("a: [", "is no YAML"), ("\0", "is no YAML")]
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(content)
    with pytest.raises(ParameterError, match=said):
        read_overrides(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"absent.yaml cannot be read"):
        read_overrides(tmp_path / "absent.yaml")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.touch()
    assert build_parameters([read_overrides(path)]) == PipelineParameters()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], WHOLE),
        ([":", ":", ":"], WHOLE),
        (["10:42", "100:612", ":"], RegionOfInterest(z_start=10, z_stop=42, y_start=100, y_stop=612)),
        ([":5", "7:", "0:9"], RegionOfInterest(z_stop=5, y_start=7, x_stop=9)),
    ],
)
def test_a_region_in_words(texts: list[str], expected: RegionOfInterest) -> None:
    assert parse_region(texts) == expected


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1:2", "3:4"], "expected three ranges"),
        (["1:2", "3:4", "5"], "expected three ranges"),
        (["-1:2", "3:4", "5:6"], "expected three ranges"),
        (["a:2", "3:4", "5:6"], "expected three ranges"),
        (["2:1", "3:4", "5:6"], "--roi 2:1 3:4 5:6: z from 2 to 1 holds nothing"),
    ],
)
def test_a_region_of_another_form_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        parse_region(texts)

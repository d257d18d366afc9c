"""Parameters from file and command line are merged in order, with every mistake in one message."""

from pathlib import Path
from typing import Any

import pytest

from deployments.command_line.text_options import parse_assignment, parse_region
from deployments.run_parameters import (
    build_parameters,
    for_each_network,
    network_parameter,
    read_overrides,
    with_network,
)
from spherovem_core.errors import ParameterError
from spherovem_core.overrides import merge
from spherovem_core.parameters import PipelineParameters
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest


def test_no_override_gives_the_daily_setting() -> None:
    assert build_parameters([]) == PipelineParameters()


def group_of(kind: str, parameters: PipelineParameters) -> Any:
    """Return the group of parameters that names the network of a kind."""
    group: Any = parameters
    for name in network_parameter(kind).split(".")[:-1]:
        group = getattr(group, name)
    return group


def test_an_override_of_both_kinds_keeps_the_other_defaults_of_each() -> None:
    """Holds also for parameters that bypass `build_parameters`, as from ``prefect deployment run -p``."""
    part = with_network("mine.pt")
    for built in (build_parameters([part]), PipelineParameters.model_validate(part)):
        cells, nuclei = (group_of(kind, built) for kind in ("cells", "nuclei"))
        assert (cells.network, nuclei.network) == ("mine.pt", "mine.pt")
        assert (cells.min_diameter_um, nuclei.min_diameter_um) == (2.0, 1.0)
        assert built.registration == PipelineParameters().registration


def test_both_kinds_show_the_same_descriptions_and_their_own_defaults() -> None:
    groups = [group_of(kind, PipelineParameters()) for kind in ("cells", "nuclei")]
    cells, nuclei = (type(group).model_json_schema()["properties"] for group in groups)
    assert [shown["min_diameter_um"]["default"] for shown in (cells, nuclei)] == [2.0, 1.0]
    assert {key: value["description"] for key, value in cells.items()} == {
        key: value["description"] for key, value in nuclei.items()
    }


def test_values_for_each_network_reach_cells_and_nuclei_alone() -> None:
    built = build_parameters([for_each_network({"network": "mine.pt", "flow_spacing_nm": 120.0})])
    default = PipelineParameters()
    for kind in ("cells", "nuclei"):
        changed = group_of(kind, default).model_copy(update={"network": "mine.pt", "flow_spacing_nm": 120.0})
        assert group_of(kind, built) == changed
    assert built.denoising == default.denoising


def test_later_overrides_win_and_leave_their_neighbours() -> None:
    built = build_parameters(
        [{"registration": {"model": "rigid", "levels": 3}}, parse_assignment("registration.model=affine")]
    )
    assert built.registration.model == "affine"
    assert built.registration.levels == 3
    assert group_of("cells", built) == group_of("cells", PipelineParameters())


def test_merge_changes_neither_mapping() -> None:
    base, override = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merge(base, override) == {"a": {"b": 1, "c": 2}}
    assert (base, override) == ({"a": {"b": 1}}, {"a": {"c": 2}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("registration.link_distances=[1, 2]", {"registration": {"link_distances": [1, 2]}}),
        ("ingest.databar_rows=null", {"ingest": {"databar_rows": None}}),
        ("shape.method=/a=b", {"shape": {"method": "/a=b"}}),
    ],
)
def test_assignments_are_yaml(text: str, value: object) -> None:
    assert parse_assignment(text) == value


@pytest.mark.parametrize("text", ["registration.model", "=1", "a..b=1", "a.b=[1"])
def test_a_malformed_assignment_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="--set"):
        parse_assignment(text)


def test_one_message_names_all_mistakes() -> None:
    with pytest.raises(ParameterError) as caught:
        build_parameters([{"registration": {"modle": "rigid", "levels": 99}, "shapes": {}}])
    message = str(caught.value)
    assert "unknown parameter registration.modle (did you mean model?)" in message
    assert "registration.levels: input should be less than or equal to" in message
    assert "got 99" in message
    assert "unknown parameter shapes (did you mean shape?)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "message"), [("- 1", "holds list"), ("a: [", "is not YAML"), ("\0", "is not YAML")]
)
def test_a_file_without_a_mapping_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(content)
    with pytest.raises(ParameterError, match=message):
        read_overrides(path)


def test_the_message_names_a_missing_file(tmp_path: Path) -> None:
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
def test_ranges_become_a_region_of_interest(texts: list[str], expected: RegionOfInterest) -> None:
    assert parse_region(texts) == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1:2", "3:4"], "expected three ranges"),
        (["1:2", "3:4", "5"], "expected three ranges"),
        (["-1:2", "3:4", "5:6"], "expected three ranges"),
        (["a:2", "3:4", "5:6"], "expected three ranges"),
        (["2:1", "3:4", "5:6"], "--roi 2:1 3:4 5:6: z from 2 to 1 holds nothing"),
    ],
)
def test_a_region_of_interest_of_another_form_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_region(texts)

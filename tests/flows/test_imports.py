"""Looking at a flow must not wait for the stages' libraries."""

import subprocess
import sys

import pytest

ASK = (
    "import sys, {module}; heavy = ('torch', 'cellpose', 'careamics', 'numba', 'pandas', 'zarr');"
    "print([m for m in heavy if m in sys.modules])"
)


@pytest.mark.parametrize(
    "module",
    [
        "flows",
        "flows.process_acquisition",
        "flows.correct_labels",
        "flows.finetune_segmentation",
        "flows.evaluate_segmentation",
        "deployments.command_line.main",
    ],
)
def test_no_heavy_library_is_imported(module: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", ASK.format(module=module)], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"


def test_the_form_of_the_flow_shows_descriptions_bounds_and_defaults() -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.process_acquisition import process_acquisition

    schema = parameter_schema(process_acquisition.fn)
    assert schema.required == ["acquisition"]
    levels = schema.definitions["RegistrationParameters"]["properties"]["levels"]
    assert levels["description"]
    assert (levels["minimum"], levels["default"]) == (1, 4)

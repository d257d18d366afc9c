"""The demo: a phantom acquisition, all stages on it, and a comparison with its truth."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployments.command_line.comparison_table import format_comparison
from deployments.command_line.phantom_files import ensure_phantom
from deployments.command_line.pipeline_run import print_results, run_flow
from deployments.run_parameters import build_parameters, for_each_network
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import Acquisition
from spherovem_core.store import Layout, write_json
from spherovem_core.synthetic.comparison import compare_with_truth, read_measured
from spherovem_core.synthetic.phantom import PhantomParameters, settings_of

DEMO_SCENES = ("resin", "spheroid", "droplets", "thickness")

DEMO_PHANTOM = PhantomParameters.model_validate(
    {
        **settings_of(DEMO_SCENES),
        "shape": (96, 480, 480),
        "spacing_nm": (120.0, 40.0, 40.0),
        "seed": 2,
        # Of some 130 cells, 30 are whole after the crop of the registration.
        "cell_diameter_um": 4.8,
        "resin_fraction": 0.15,
        "spheroid_diameter_um": 30.0,
    }
)
"""The edge of a spheroid, thick slices, and droplets that look like particles."""

DEMO_OVERRIDES: dict[str, Any] = {
    "denoising": {
        "training_slices": 32,
        "validation_slices": 4,
        "patches_per_slice": 32,
        "epochs": 8,
        "batch_size": 8,
        "network_channels": 16,
        "learning_rate": 2e-3,
    },
    **for_each_network({"network": "phantom-compact", "flow_spacing_nm": 120.0}),
}
"""Parameters that differ from the daily setting, so that the demo ends within minutes on two cores."""


def run_demo(
    results_root: Path,
    name: str,
    execution: Mapping[str, Any],
    phantom: PhantomParameters = DEMO_PHANTOM,
    overrides: Mapping[str, Any] = DEMO_OVERRIDES,
) -> dict[str, float]:
    """Make the acquisition unless it exists, run all stages, compare with the truth, and print a table.

    Returns
    -------
    dict
        Figures of the comparison by name.
    """
    start = time.monotonic()
    parameters = build_parameters([overrides])
    root = results_root.absolute()
    source = root / "acquisitions" / name
    truth = ensure_phantom(source, phantom)
    acquisition = Acquisition(name=name, source=source, results_root=root)
    run_flow(acquisition, parameters, ExecutionSettings.model_validate(dict(execution)))
    layout = Layout(acquisition.folder)
    figures = compare_with_truth(truth, read_measured(layout, parameters))
    write_json(layout.comparison, {key: value if value == value else None for key, value in figures.items()})
    print(format_comparison(figures))
    print_results(acquisition.folder)
    print(f"comparison:  {layout.comparison}")
    print(f"time:        {time.monotonic() - start:.0f} s")
    return figures

"""Which parameter recomputes which of the two segmentation steps."""

from pathlib import Path
from typing import Any

import pytest

from spherovem_core.parameters import DenoiseParameters, SegmentationParameters
from spherovem_core.references import ArtifactRef
from tasks import denoising, segmentation

REFERENCE = ArtifactRef(
    store=str(Path("/results/one")), path="a", shape=(1,), dtype="uint8", spacing_nm=(50, 10, 10), digest="d"
)
OTHER: dict[str, Any] = {
    "network": "other",
    "flow_spacing_nm": 90.0,
    "mask_spacing_nm": 90.0,
    "normalise_percentiles": (2.0, 98.0),
    "tile_overlap": 0.2,
    "min_tile_contrast": 0.1,
    "probability_threshold": 1.0,
    "flow_error_threshold": 0.4,
    "mask_dynamics": "cellpose",
    "flow_smoothing": 2.0,
    "curl_free": True,
    "probability_filter": "median",
    "probability_filter_voxels": 3,
    "merge_boundary_strength": 0.1,
    "merge_contact_share": 0.3,
    "fill_holes": False,
    "max_truncated_fraction": 0.5,
    "expansion_um": 0.5,
    "min_diameter_um": 3.0,
    "block_voxels": 128,
    "block_halo_voxels": 96,
}
BY_CONTENT = {"network"}
FOR_BOTH = {"block_voxels", "block_halo_voxels"}
FOR_FLOWS = {"flow_spacing_nm", "normalise_percentiles", "tile_overlap", "min_tile_contrast"} | FOR_BOTH
FOR_MASKS = set(OTHER) - FOR_FLOWS - BY_CONTENT | FOR_BOTH


def flows(parameters: SegmentationParameters, network_digest: str = "n") -> str:
    arguments = {
        "kind": "cells",
        "registered": REFERENCE,
        "network_digest": network_digest,
        "parameters": parameters,
    }
    return segmentation.FLOWS.plan(arguments).digest


def masks(parameters: SegmentationParameters) -> str:
    arguments = {"kind": "cells", "flows": REFERENCE, "registered": REFERENCE, "parameters": parameters}
    return segmentation.MASKS.plan(arguments).digest


def test_every_parameter_is_spoken_for() -> None:
    assert set(OTHER) == set(SegmentationParameters.model_fields)


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_parameter_recomputes_what_depends_on_it(name: str) -> None:
    plain = SegmentationParameters()
    changed = SegmentationParameters(**{name: OTHER[name]})
    assert (flows(changed) != flows(plain)) == (name in FOR_FLOWS)
    assert (masks(changed) != masks(plain)) == (name in FOR_MASKS)


def test_other_weights_under_the_same_name_recompute_the_flows() -> None:
    assert flows(SegmentationParameters(), "new weights") != flows(SegmentationParameters(), "old weights")


def test_cells_and_nuclei_share_no_record() -> None:
    arguments = {"registered": REFERENCE, "network_digest": "n", "parameters": SegmentationParameters()}
    plans = [segmentation.FLOWS.plan({"kind": kind, **arguments}) for kind in ("cells", "nuclei")]
    assert plans[0].key != plans[1].key
    assert [plan.outputs for plan in plans] == [
        ("volume.zarr/flows/cells/0",),
        ("volume.zarr/flows/nuclei/0",),
    ]


def test_a_denoising_model_counts_by_its_content_not_its_path() -> None:
    def digest(path: str, content: str) -> str:
        arguments = {"raw": REFERENCE, "model_digest": content, "parameters": DenoiseParameters(model=path)}
        return denoising.STAGE.plan(arguments).digest

    assert digest("/a.ckpt", "x") == digest("/b.ckpt", "x")
    assert digest("/a.ckpt", "x") != digest("/a.ckpt", "y")

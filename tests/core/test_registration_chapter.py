"""Report chapter on registration, for a stack with a bad and a blank slice."""

from pathlib import Path

import numpy as np
import pandas as pd
from registration_scenes import make_stack

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import PipelineParameters, RegistrationParameters
from spherovem_core.registration import register_stack, warp_stack
from spherovem_core.registration.chapter import _stays_covered, registration_section
from spherovem_core.registration.elastic_fields import ElasticFields, describe_fields
from spherovem_core.registration.elastic_mesh import Mesh
from spherovem_core.registration.jump_report import jump_texts, scale_text
from spherovem_core.report import ReportInputs
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, finish_multiscale, slice_shards
from spherovem_core.store.layout import DENOISED, REGISTERED

SPACING_NM = (50.0, 10.0, 12.0)


def writer(layout: Layout, group: str, shape: tuple[int, int, int]) -> ArrayWriter:
    spec = ArraySpec(group, "image", shape, np.dtype(np.uint8), *slice_shards(shape), SPACING_NM)
    return ArrayWriter(layout, spec, group)


def test_local_fields_are_shown_and_implausible_ones_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    slices = make_stack(count=6, shape=(120, 136)).slices
    plain = register_stack(slices)
    mesh = Mesh.over(plain.crop)
    nodes = np.zeros((6, mesh.rows, mesh.columns, 2), np.float32)
    nodes[2], nodes[4] = 3.0, 25.0
    fields = ElasticFields(mesh, nodes)
    fields.save(layout.elastic_fields)
    for group in (DENOISED, REGISTERED):
        written = writer(layout, group, slices.shape)
        for block in slab_grid(slices.shape, 1):
            written.write(block, slices[block.core])
        finish_multiscale(written, Execution(), (), **plain.details())
    tables = {"slices": describe_fields(plain.table, fields, [4])}
    elastic = PipelineParameters(registration=RegistrationParameters(refinement="elastic"))
    section = registration_section(ReportInputs("one", layout, elastic, tables, {}, 256))
    facts = dict(section.facts)
    assert facts["Slices with a local field"] == "2 of 6"
    assert facts["Local displacement"] == "19.80 px rms (median), 35.4 px at most"
    assert section.warnings[-2:] == [
        "local fields would have folded the slices and were scaled down: 4",
        "local fields of more than 20 px: slices 4",
    ]
    without = registration_section(ReportInputs("one", layout, PipelineParameters(), tables, {}, 256))
    assert len(section.pictures) == len(without.pictures) + 1
    assert "Local displacement" not in dict(without.facts)
    few = {"slices": tables["slices"].assign(used=[True] * 3 + [False] * 3, fixed_pattern_grey=3.0)}
    warnings = registration_section(ReportInputs("one", layout, elastic, few, {}, 256)).warnings
    assert (
        "no elastic refinement: it takes 4 good slices to tell jitter from tissue, and there are fewer"
        in warnings
    )
    assert any("may follow it" in warning for warning in warnings)


def test_bad_bridged_and_uncertain_slices_are_named(tmp_path: Path) -> None:
    layout, parameters = Layout(tmp_path), RegistrationParameters(drift="links")
    slices = make_stack(count=10, shape=(120, 136)).slices
    slices[6] = 0
    denoised = writer(layout, DENOISED, slices.shape)
    for block in slab_grid(slices.shape, 1):
        denoised.write(block, slices[block.core])
    finish_multiscale(denoised, Execution())
    alignment = register_stack(slices, parameters, Execution(), bad_slices=[3])
    registered = writer(layout, REGISTERED, (10, *alignment.crop.shape))
    warp_stack(slices, alignment, registered, parameters, Execution())
    finish_multiscale(registered, Execution(), (), **alignment.details())

    tables = {"slices": alignment.table}
    section = registration_section(ReportInputs("one", layout, PipelineParameters(), tables, {}, 256))
    facts = dict(section.facts)
    crop = alignment.crop
    assert facts["Common field of view"] == f"rows {crop.y0} to {crop.y1}, columns {crop.x0} to {crop.x1}"
    assert facts["Slices left out as bad"] == "3"
    assert facts["Slices held only by longer links"] == "6, 7"
    assert facts["Jumps corrected"] == "none"
    assert facts["Slices of another magnification"] == "none"
    assert section.warnings == [
        "slices not aligned with confidence to the one before: 6, 7",
        "slices whose fit as placed could not be measured: 6",
    ]
    assert facts["Misfit of neighbours as placed, without the lean"].startswith("0.")
    planes = [panel for column in section.pictures[0].columns for panel in column]
    assert len(planes) == 4
    assert all('href="data:image/webp' in panel.markup for panel in planes)


def test_jumps_are_listed_with_slice_and_size() -> None:
    zero = {
        "jump_y_px": 0.0,
        "jump_x_px": 0.0,
        "jump_rotation_deg": 0.0,
        "jump_scale": 0.0,
        "jump_shear": 0.0,
    }
    table = pd.DataFrame([{"z": z, **zero, "relative_scale": 1.03 if z > 4 else 1.0} for z in range(7)])
    table.loc[2, ["jump_y_px", "jump_x_px", "jump_rotation_deg"]] = 3.0, 4.0, -2.0
    table.loc[5, ["jump_scale", "jump_shear"]] = 0.03, 0.01
    table.loc[6, [*zero, "relative_scale"]] = np.nan
    assert jump_texts(table) == ["2 (5.0 px, turn -2.00°)", "5 (scale +3.00 %, shear 1.00 %)"]
    assert scale_text(table) == (
        "5 at 1.0300 times the magnification of slices 0 to 4, 6, to which the voxel size applies"
    )


def test_what_stays_in_the_frame_is_named_only_where_slices_beside_show_it_too() -> None:
    bent = pd.Series([np.nan, 0.01, 0.097, 0.009, 0.025, 0.067, 0.0, 0.166, 0.041, 0.001])
    assert not _stays_covered(bent).any()
    databar = pd.Series([np.nan, 0.16, 0.159, 0.145, 0.003, 0.142, 0.158, 0.0, 0.0, 0.0])
    assert np.flatnonzero(_stays_covered(databar)).tolist() == [1, 2, 3, 5]

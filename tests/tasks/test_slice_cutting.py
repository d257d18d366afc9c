"""Slices cut where a segmentation is uncertain or was corrected, with the labels from which labelling starts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from spherovem_core.blocks import slab_grid
from spherovem_core.corrections import Accept, Anchor, Journal
from spherovem_core.errors import IncompleteArtifactError, LabelsError
from spherovem_core.execution import Execution
from spherovem_core.parameters import FineTuningParameters, SliceCuttingParameters
from spherovem_core.segmentation.fine_tuning import read_slices
from spherovem_core.segmentation.fine_tuning.slice_files import read_slice
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, finish_multiscale
from tasks.finetune_slices import cut_slices_of

SHAPE, SPACING = (40, 160, 160), (120.0, 50.0, 50.0)
FLOW_SHAPE = (48, 80, 80)
PARAMETERS = SliceCuttingParameters(places="uncertain", slice_count=6, side_px=64)


def write(layout: Layout, group: str, content: str, values: np.ndarray, spacing: Any, origin: Any) -> None:
    chunks = (1, *values.shape[1:])
    spec = ArraySpec(group, content, values.shape, values.dtype, chunks, chunks, spacing, origin)
    writer = ArrayWriter(layout, spec, f"digest of {group}")
    for block in slab_grid(values.shape, 1):
        writer.write(block, values[block.core])
    finish_multiscale(writer, Execution(), [])


def segmented(folder: Path) -> Path:
    """Write an acquisition with two columns of cells; the network is unsure around (z, y, x) = (24, 60, 20) of its grid."""
    layout = Layout(folder / "spheroid")
    image = np.random.default_rng(1).integers(60, 200, SHAPE, np.uint8)
    write(layout, "registered", "image", image, SPACING, (0.0, 0.0, 0.0))
    field = np.full((4, *FLOW_SHAPE), 9.0, np.float16)
    field[-1, 16:32, 48:72, 8:32] = 0.1
    # As `flow_grid` lays it: the same centre, voxels of 100 nm.
    write(layout, "flows/cells", "field", field, (100.0,) * 3, (-10.0, 25.0, 25.0))
    labels = np.zeros(SHAPE, np.uint32)
    labels[:, :80], labels[:, 80:] = 3, 8
    write(layout, "registered/labels/cells", "label", labels, SPACING, (0.0, 0.0, 0.0))
    return layout.folder


def test_uncertain_slices_carry_predicted_labels_as_a_start(tmp_path: Path) -> None:
    folder, out = segmented(tmp_path), tmp_path / "slices"
    assert cut_slices_of(folder, out, PARAMETERS) == (6, 0)
    images = sorted(out.glob("*.tif"))
    assert {image.name.split("-")[1] for image in images} == {"xy", "xz", "yz"}
    for image in images:
        pixels, origin = read_slice(image)
        labels = tifffile.imread(out / "labels" / f"{image.stem}-cells.tif")
        assert labels.shape == pixels.shape
        assert set(np.unique(labels)) <= {3, 8}
        if origin is not None and origin.plane == "yz":
            # Rows are y in pixels of 100 nm: cell 8 begins at 80 rows of 50 nm.
            first = int(np.argmax((labels == 8).any(axis=0)))
            assert origin.corner_nm[1] + 100 * first == pytest.approx(80 * 50, abs=100)
    with pytest.raises(LabelsError, match="labels are as predicted"):
        read_slices(out, FineTuningParameters(network="phantom-compact"))


def test_labels_that_a_person_drew_are_kept(tmp_path: Path) -> None:
    folder, out = segmented(tmp_path), tmp_path / "slices"
    cut_slices_of(folder, out, PARAMETERS)
    image = sorted(out.glob("*.tif"))[0]
    drawn = out / "labels" / f"{image.stem}-cells.tif"
    tifffile.imwrite(drawn, np.ones_like(tifffile.imread(drawn)))
    image.unlink()
    assert cut_slices_of(folder, out, PARAMETERS) == (1, 5)
    assert tifffile.imread(drawn).min() == 1


def test_slices_of_corrections_go_through_corrected_objects_and_count(tmp_path: Path) -> None:
    folder, out = segmented(tmp_path), tmp_path / "slices"
    Journal(Layout(folder).journal("cells")).append([Accept(object=Anchor(point_um=(2.4, 6.0, 4.0)))])
    assert cut_slices_of(folder, out, PARAMETERS, from_corrections=True) == (6, 0)
    slices = read_slices(out, FineTuningParameters(network="phantom-compact"))
    assert len(slices) == 6
    assert all((one.labels == 8).any() for one in slices)


def test_slices_without_corrections_or_flows_are_refused(tmp_path: Path) -> None:
    folder, out = segmented(tmp_path), tmp_path / "slices"
    with pytest.raises(LabelsError, match="cells of spheroid have no corrections"):
        cut_slices_of(folder, out, PARAMETERS, from_corrections=True)
    with pytest.raises(LabelsError, match="give --flow-spacing-nm 100"):
        cut_slices_of(folder, out, SliceCuttingParameters(places="uncertain", flow_spacing_nm=80.0))
    with pytest.raises(IncompleteArtifactError, match="flows/nuclei"):
        cut_slices_of(folder, out, SliceCuttingParameters(places="uncertain", kind="nuclei"))
    assert not out.exists()

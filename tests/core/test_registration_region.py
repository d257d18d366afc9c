"""Registration of a region by the maps of the full acquisition."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from registration_scenes import make_stack

from spherovem_core.errors import IncompleteArtifactError, RegistrationError
from spherovem_core.registration import Alignment, apply_alignment, register_stack
from spherovem_core.registration.elastic_fields import ElasticFields, describe_fields
from spherovem_core.registration.elastic_mesh import Mesh
from spherovem_core.registration.elastic_refinement import covered_rectangle
from spherovem_core.registration.full_run import cut_alignment, load_fields

Z, Y, X = slice(2, 7), slice(24, 120), slice(30, 140)


@pytest.fixture(scope="module")
def slices() -> np.ndarray:
    return make_stack(count=9, shape=(128, 144), lean_px=(1.5, -1.0)).slices


@pytest.fixture(scope="module")
def full(slices: np.ndarray) -> Alignment:
    return register_stack(slices)


def test_a_region_shows_what_the_full_acquisition_shows_there(slices: np.ndarray, full: Alignment) -> None:
    part = slices[Z, Y, X]
    cut = cut_alignment(full.table, (Z.start, Y.start, X.start), part.shape)
    whole, region = apply_alignment(slices, full), apply_alignment(part, cut)
    top, left = cut.crop.y0 + Y.start - full.crop.y0, cut.crop.x0 + X.start - full.crop.x0
    assert min(top, left) >= 0
    shown = whole[Z, top : top + region.shape[1], left : left + region.shape[2]]
    assert shown.shape == region.shape
    assert region.shape[1] > 70
    # The kernel reaches two pixels beyond the region at its edges.
    inner = (slice(None), slice(3, -3), slice(3, -3))
    assert np.abs(shown[inner].astype(int) - region[inner]).max() <= 1


def test_the_table_of_a_region_counts_from_its_first_slice(slices: np.ndarray, full: Alignment) -> None:
    cut = cut_alignment(full.table, (Z.start, Y.start, X.start), slices[Z, Y, X].shape)
    assert list(cut.table.columns) == list(full.table.columns)
    assert cut.table["z"].tolist() == [0, 1, 2, 3, 4]
    assert cut.table["similarity_after"].tolist() == full.table["similarity_after"][Z].tolist()
    assert tuple(cut.table[[f"crop_{name}_px" for name in cut.crop._fields]].iloc[0]) == cut.crop


def test_a_region_outside_the_common_field_or_stack_is_an_error(full: Alignment) -> None:
    with pytest.raises(RegistrationError, match="choose a region within it"):
        cut_alignment(full.table, (0, 300, 0), (4, 40, 40))
    with pytest.raises(RegistrationError, match=r"9 slices.*register the full acquisition again"):
        cut_alignment(full.table, (6, 0, 0), (4, 40, 40))


def wave(alignment: Alignment, size_px: float) -> ElasticFields:
    """Plant a smooth field of another sign in every other slice."""
    mesh = Mesh.over(alignment.crop)
    y, x = np.meshgrid(np.arange(mesh.rows), np.arange(mesh.columns), indexing="ij")
    field = size_px * np.stack([np.sin(0.4 * x) * np.cos(0.3 * y), np.cos(0.5 * y + 0.2 * x)], -1)
    signs = (-1.0) ** np.arange(len(alignment.transforms))
    return ElasticFields(mesh, (signs[:, None, None, None] * field).astype(np.float32))


@pytest.fixture(scope="module")
def bent(slices: np.ndarray, full: Alignment) -> Alignment:
    fields = wave(full, 2.0)
    crop = covered_rectangle(fields, full.transforms, full.crop, (slices.shape[1], slices.shape[2]))
    table = describe_fields(full.table, fields, [])
    columns = {f"crop_{name}_px": value for name, value in crop._asdict().items()}
    return replace(full, crop=crop, table=table.assign(**columns), fields=fields)


def test_a_region_is_bent_by_the_local_fields_of_the_full_acquisition(
    tmp_path: Path, slices: np.ndarray, bent: Alignment
) -> None:
    assert bent.fields is not None
    bent.fields.save(tmp_path / "fields.npz")
    part = slices[Z, Y, X]
    fields = load_fields(tmp_path / "fields.npz", bent.table)
    cut = cut_alignment(bent.table, (Z.start, Y.start, X.start), part.shape, fields)
    whole, region = apply_alignment(slices, bent), apply_alignment(part, cut)
    top, left = cut.crop.y0 + Y.start - bent.crop.y0, cut.crop.x0 + X.start - bent.crop.x0
    shown = whole[Z, top : top + region.shape[1], left : left + region.shape[2]]
    assert min(region.shape[1:]) > 60
    inner = (slice(None), slice(3, -3), slice(3, -3))
    assert np.abs(shown[inner].astype(int) - region[inner]).max() <= 1
    straight = apply_alignment(part, replace(cut, fields=None))
    assert np.abs(shown[inner].astype(int) - straight[inner]).max() > 10


def test_local_fields_that_are_missing_or_of_another_run_are_an_error(
    tmp_path: Path, bent: Alignment
) -> None:
    path = tmp_path / "fields.npz"
    with pytest.raises(IncompleteArtifactError, match=r"fields.npz is missing.*process that again"):
        load_fields(path, bent.table)
    wave(bent, 1.0).save(path)
    with pytest.raises(IncompleteArtifactError, match="does not hold the local fields that the slice table"):
        load_fields(path, bent.table)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IncompleteArtifactError, match=r"cannot be read.*process that again"):
        load_fields(path, bent.table)

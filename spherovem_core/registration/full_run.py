"""Registration of a region by the maps of the full acquisition."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from spherovem_core.errors import IncompleteArtifactError, RegistrationError
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration.affine import centre_shift, compose, rotation_degrees, shift_matrix
from spherovem_core.registration.alignment import Alignment
from spherovem_core.registration.crop import Rectangle, largest_common_rectangle
from spherovem_core.registration.elastic_fields import ElasticFields
from spherovem_core.registration.slice_places import DECIMALS, PlacedSlices, mix_at_even_steps
from spherovem_core.registration.slice_table import ELEMENTS
from spherovem_core.spacing import NM_PER_UM


def load_fields(path: Path, table: pd.DataFrame) -> ElasticFields:
    """Read the local fields of a full acquisition, which no digest protects, and check them against its slice table.

    Parameters
    ----------
    path
        File that `ElasticFields.save` wrote.
    table
        Slice table of the full acquisition, as in `Alignment.table`.

    Raises
    ------
    IncompleteArtifactError
        If there is no such file, or it holds other fields than the table describes.
    """
    remedy = (
        "delete tables/stages/registration.parquet of the full acquisition and process that again, or set the refinement of "
        "both to none"
    )
    if not path.is_file():
        raise IncompleteArtifactError(
            f"{path} is missing; a region of an acquisition with elastic refinement takes its local fields from there: {remedy}"
        )
    try:
        fields = ElasticFields.load(path)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise IncompleteArtifactError(f"{path} cannot be read ({error}): {remedy}") from error
    stated = table["elastic_rms_px"].to_numpy(dtype=np.float64)
    if len(fields.nodes) != len(stated) or not np.allclose(fields.rms_px(), stated, atol=1e-6):
        raise IncompleteArtifactError(
            f"{path} does not hold the local fields that the slice table of the full acquisition describes: {remedy}"
        )
    return fields


def cut_alignment(
    table: pd.DataFrame,
    start: Sequence[int],
    shape: Sequence[int],
    fields: ElasticFields | None = None,
    step_nm: float | None = None,
) -> Alignment:
    """Take the part of the registration of a full acquisition that places the slices of a region of it.

    Region and full acquisition have one geometry: a pixel of both registered images shows the same place, but for the corners
    of region and crops.

    Parameters
    ----------
    table
        Slice table of the full acquisition, as in `Alignment.table`.
    start : (z, y, x)
        First slice, row and column of the region in the full acquisition.
    shape : (Z, Y, X)
        Shape of the region.
    fields : ElasticFields, optional
        Local fields of the full acquisition.
    step_nm
        Voxel size along z, if the full acquisition was registered with ``resample_z``. The region then takes its places of
        slices and its steps: every slice of the registered region is one of the full registered image, the same slices
        blended.

    Returns
    -------
    Alignment
        Maps between pixels of the region. The crop is the part of the full one that all slices of the region cover.

    Raises
    ------
    RegistrationError
        If the full registration does not hold these slices, or its crop leaves nothing of the region.
    """
    first, corner = start[0], np.asarray(start[1:], dtype=np.float64)
    rows = table.iloc[first : first + shape[0]].reset_index(drop=True)
    if len(rows) != shape[0]:
        raise RegistrationError(
            f"the registration of the full acquisition has {len(table)} slices, and the region ends at slice "
            f"{first + shape[0]}; register the full acquisition again"
        )
    maps = rows[list(ELEMENTS)].to_numpy(dtype=np.float64).reshape(-1, 2, 3)
    maps = compose(shift_matrix(*-corner), compose(maps, shift_matrix(*corner)))
    full = [int(rows[f"crop_{name}_px"].iloc[0]) for name in Rectangle._fields]
    covered = largest_common_rectangle(maps, shape[1:])
    y, x = int(start[1]), int(start[2])
    if fields is not None:
        mesh = replace(
            fields.mesh, origin_y_px=fields.mesh.origin_y_px - y, origin_x_px=fields.mesh.origin_x_px - x
        )
        fields = ElasticFields(mesh, fields.nodes[first : first + shape[0]])
    # Local fields show pixels from so far beyond the border.
    reach = 0 if fields is None else int(np.ceil(fields.max_px().max(initial=0.0)))
    crop = Rectangle(
        max(covered.y0 + reach, full[0] - y),
        min(covered.y1 - reach, full[1] - y),
        max(covered.x0 + reach, full[2] - x),
        min(covered.x1 - reach, full[3] - x),
    )
    if min(crop.shape) <= 0:
        raise RegistrationError(
            f"the region lies outside the field that all slices of the full acquisition cover, which is rows {full[0]} to "
            f"{full[1]} and columns {full[2]} to {full[3]}; choose a region within it"
        )
    shift = centre_shift(maps, shape[1:])
    placed = {
        "z": range(len(rows)),
        "shift_y_px": shift[:, 0],
        "shift_x_px": shift[:, 1],
        "rotation_deg": rotation_degrees(maps),
        **dict(zip(ELEMENTS, maps.reshape(-1, 6).T, strict=True)),
        **{f"crop_{name}_px": value for name, value in crop._asdict().items()},
    }
    along_z = None if step_nm is None else _cut_places(table, first, len(rows), step_nm)
    return Alignment(maps, crop, rows.assign(**placed), fields=fields, placed=along_z)


def _cut_places(table: pd.DataFrame, first: int, count: int, step_nm: float) -> PlacedSlices:
    """Take the slices of the full registered image that slices `first` to `first + count` alone are blended into."""
    places = np.round(table["registered_z_um"].to_numpy(dtype=np.float64) * NM_PER_UM / step_nm, DECIMALS)
    if np.array_equal(places, np.arange(len(table))):
        reason = "the full acquisition has even steps too; its report says why"
        return PlacedSlices(RegisteredSlices.even(count), reason)
    good = np.flatnonzero(table["used"].to_numpy(dtype=bool))
    mixtures = mix_at_even_steps(places, good, len(table))
    inside = [k for k, mixture in enumerate(mixtures) if all(0 <= z - first < count for z, _ in mixture)]
    if not inside:
        raise RegistrationError(
            f"the {count} slices of the region are too few to make a slice at even steps of z, as resample_z asks for; "
            "choose a region of more slices"
        )
    cut = tuple(tuple((z - first, weight) for z, weight in mixtures[k]) for k in inside)
    return PlacedSlices(RegisteredSlices(places[first : first + count] - inside[0], cut))

"""Slices that are aligned already: the identity for each, and nothing cropped."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.registration.affine import IDENTITY
from spherovem_core.registration.alignment import Alignment
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.slice_table import ELEMENTS
from spherovem_core.store.columns import REGISTRATION

GIVEN_REASON = "not registered: aligned as given"
KNOWN = ("shift_y_px", "shift_x_px", "rotation_deg", "elastic_rms_px", "elastic_max_px")


def alignment_as_given(shape: Sequence[int], bad_slices: Collection[int] = ()) -> Alignment:
    """Return the alignment of a stack that is aligned already.

    Parameters
    ----------
    shape : (Z, Y, X)
        Shape of the stack.
    bad_slices
        Slices that were filled from their neighbours.

    Returns
    -------
    Alignment
        Identity maps and the whole field of view. In the table, shift, rotation and local field are 0; whatever a
        registration would have measured is NaN, no slice counts as ``trusted``, and ``reason`` says why.

    Raises
    ------
    ShapeMismatchError
        If the stack is not three-dimensional.
    """
    if len(shape) != 3:
        raise ShapeMismatchError(f"the stack has the shape {tuple(shape)}; expected (Z, Y, X)")
    count, height, width = (int(n) for n in shape)
    transforms = np.broadcast_to(IDENTITY, (count, 2, 3)).copy()
    crop = Rectangle(0, height, 0, width)
    columns: dict[str, object] = {"z": range(count)}
    for column in REGISTRATION:
        columns[column.name] = {"bool": False, "string": GIVEN_REASON}.get(column.type, np.nan)
    columns |= dict.fromkeys(KNOWN, 0.0)
    columns["used"] = [z not in set(bad_slices) for z in range(count)]
    columns |= dict(zip(ELEMENTS, transforms.reshape(-1, 6).T, strict=True))
    columns |= {f"crop_{name}_px": value for name, value in crop._asdict().items()}
    return Alignment(transforms, crop, pd.DataFrame(columns))

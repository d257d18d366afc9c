"""Place of the voxels of a label file: on a level of the volume, or by a voxel size and an offset of their own."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from spherovem_core.errors import LabelsError
from spherovem_core.spacing import SpacingNm

Level = tuple[tuple[int, int, int], SpacingNm, SpacingNm]
"""Shape, voxel size in nm and centre of the first voxel in nm."""

SPACING_TOLERANCE = 0.01
"""Relative difference of voxel sizes that count as one; programs round them."""
MOST_TIMES_COARSER = 100.0
"""A voxel that much longer or shorter than those of the volume comes from a wrong unit."""


class Stated(Protocol):
    """Grid that a label file states."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""

    @property
    def spacing_nm(self) -> SpacingNm | None:
        """Voxel size in nm."""

    @property
    def origin_nm(self) -> SpacingNm | None:
        """Centre of the first voxel in nm."""


def place_labels(
    name: str,
    volume: Stated,
    levels: Sequence[Level],
    file_spacing_nm: SpacingNm | None,
    file_origin_nm: SpacingNm | None,
) -> tuple[SpacingNm, SpacingNm]:
    """Return voxel size of labels and centre of their first voxel in nm.

    Parameters
    ----------
    levels
        The grid that the labels are wanted on, then others of the same volume that they may lie on.
    file_spacing_nm, file_origin_nm
        Given by the caller; they count before what the file states.

    Raises
    ------
    LabelsError
        If the place is unknown or contradictory, or not in the volume, or the labels do not have three axes.
    """
    if len(volume.shape) != 3:
        raise LabelsError(
            f"{name} has {len(volume.shape)} axes, of shape {volume.shape}; expected z, y, x: write one volume of labels"
        )
    given = file_spacing_nm is not None
    level = next((level for level in levels if level[0] == volume.shape), None)
    spacing = file_spacing_nm or volume.spacing_nm
    if level is not None and not given:
        spacing = _spacing_on_level(name, level, volume.spacing_nm)
    if spacing is None:
        raise LabelsError(_no_fit(name, volume, levels))
    _check_unit(name, spacing, levels[0][1])
    origin = file_origin_nm
    if origin is None and volume.origin_nm is not None and (level is None or volume.spacing_nm is not None):
        origin = volume.origin_nm
    if level is not None and file_origin_nm is None and not given and _is_at(origin, level):
        origin = level[2]
    if origin is None:
        origin = _same_field_of_view(volume.shape, spacing, levels)
    if origin is None:
        raise LabelsError(
            f"{name}: {_by(volume.shape)} voxels of {_nm(spacing)} do not cover the volume ({_shapes(levels)}), and the file "
            "states no offset; give the offset of its first voxel"
        )
    return spacing, origin


def _spacing_on_level(name: str, level: Level, stated: SpacingNm | None) -> SpacingNm:
    """Return the voxel size of the level whose shape the labels have; refuse a stated one that contradicts it.

    A stated size of the right proportions whose unit is wrong by thousands is taken for that of the level: NIfTI has no nm.
    """
    if stated is None:
        return level[1]
    ratios = [own / known for own, known in zip(stated, level[1], strict=True)]
    unit = 1000.0 ** round(math.log(ratios[0], 1000))
    if all(math.isclose(ratio, unit, rel_tol=SPACING_TOLERANCE) for ratio in ratios):
        return level[1]
    raise LabelsError(
        f"{name} has the shape of the volume, {_by(level[0])}, but states voxels of {_nm(stated)} instead of {_nm(level[1])}; "
        "give the voxel size that is right"
    )


def _is_at(origin: SpacingNm | None, level: Level) -> bool:
    """Return whether a stated offset is that of the level or none at all."""
    if origin is None or not any(origin):
        return True
    return all(
        abs(own - known) <= 0.51 * side for own, known, side in zip(origin, level[2], level[1], strict=True)
    )


def _same_field_of_view(
    shape: Sequence[int], spacing: SpacingNm, levels: Sequence[Level]
) -> SpacingNm | None:
    """Return the offset of labels that cover the volume with voxels of another size; None where they do not cover it."""
    target, sides, origin = (np.array(part, float) for part in levels[0])
    own, extent = np.array(spacing), np.array(shape) * np.array(spacing)
    if (np.abs(extent - target * sides) >= np.maximum(own, sides)).any():
        return None
    z, y, x = origin - sides / 2 + own / 2
    return float(z), float(y), float(x)


def _check_unit(name: str, spacing: SpacingNm, wanted: SpacingNm) -> None:
    for own, known in zip(spacing, wanted, strict=True):
        if not 1 / MOST_TIMES_COARSER <= own / known <= MOST_TIMES_COARSER:
            raise LabelsError(
                f"{name} has voxels of {_nm(spacing)}, the volume of {_nm(wanted)}; the unit is probably wrong: give the voxel "
                "size of the file in nm"
            )


def _no_fit(name: str, volume: Stated, levels: Sequence[Level]) -> str:
    turned = any(level[0] == volume.shape[::-1] for level in levels)
    hint = (
        "its axes seem to be x, y, z: write them as z, y, x" if turned else "give its voxel size and offset"
    )
    return f"{name} has {_by(volume.shape)} voxels (z, y, x) and states no voxel size; expected {_shapes(levels)} voxels: {hint}"


def _shapes(levels: Sequence[Level]) -> str:
    return " or ".join(dict.fromkeys(_by(level[0]) for level in levels))


def _by(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _nm(spacing: SpacingNm) -> str:
    return f"{' × '.join(f'{side:.4g}' for side in spacing)} nm"

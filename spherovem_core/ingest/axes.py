"""Axes of an array that holds a volume: which are z, y and x, and which others have to be chosen."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHOICE = re.compile(r"([a-z]\w*)=(\d+)")
_MOST_SAMPLES = 4
_LONG = {"channel": "c", "time": "t", "channels": "c", "times": "t"}


@dataclass(frozen=True)
class VolumeAxes:
    """Places of z, y and x in an array, and the index along each other axis.

    Attributes
    ----------
    order
        Axis of the array that is z, y and x; z is None for a single image.
    fixed
        Index along each other axis.
    shape
        (Z, Y, X).
    assumed
        True if the array does not name its axes.
    problem
        Reason why it is no single volume; empty if it is.
    """

    order: tuple[int | None, int, int] = (0, 1, 2)
    fixed: Mapping[int, int] | None = None
    shape: tuple[int, int, int] = (0, 0, 0)
    assumed: bool = False
    problem: str = ""

    def of(self, sides: Sequence[Any], default: Any = 1) -> tuple[Any, Any, Any]:
        """Return the entries for z, y and x of a list with one per axis."""
        z, y, x = self.order
        return (default if z is None else sides[z]), sides[y], sides[x]

    def box(self, z: slice, rows: slice, columns: slice, ndim: int) -> tuple[slice | int, ...]:
        """Return the index of a box in the array."""
        wanted: list[slice | int] = [slice(None)] * ndim
        for axis, part in zip(self.order, (z, rows, columns), strict=True):
            if axis is not None:
                wanted[axis] = part
        for axis, index in (self.fixed or {}).items():
            wanted[axis] = index
        return tuple(wanted)

    def turned(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn a box, as the array gives it, into (Z, Y, X)."""
        kept = [axis for axis in self.order if axis is not None]
        ranks = [sorted(kept).index(axis) for axis in kept]
        values = np.transpose(values, ranks)
        return values if self.order[0] is not None else values[np.newaxis]


def split_choices(inside: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Take the choices such as ``c=1`` off the end of a path inside a container."""
    parts, choices = list(inside), {}
    while parts and (found := _CHOICE.fullmatch(parts[-1])):
        choices[found[1]] = int(found[2])
        parts.pop()
    return parts, choices


def _assumed_names(shape: Sequence[int]) -> list[str]:
    """Name the axes of an array that names none: those longer than 1 are z, y, x if they are three, else the last three."""
    long = [axis for axis, side in enumerate(shape) if side > 1]
    if len(shape) > 3 and len(long) == 3:
        return ["zyx"[long.index(axis)] if axis in long else f"axis{axis}" for axis in range(len(shape))]
    return [*(f"axis{n}" for n in range(len(shape) - 3)), "z", "y", "x"][-len(shape) :]


def volume_axes(shape: Sequence[int], names: Sequence[str], choices: Mapping[str, int]) -> VolumeAxes:
    """Find z, y and x among the axes of an array.

    Parameters
    ----------
    shape
        Extents.
    names
        Name of each axis; empty if the array states none: then they are z, y, x, or y, x of a single image.
    choices
        Index along other axes, such as {"c": 1}.
    """
    names = [_LONG.get(str(name).lower(), str(name).lower()) for name in names]
    assumed = len(names) != len(shape)
    extents = " × ".join(map(str, shape))
    if assumed:
        names = _assumed_names(shape)
        if len(shape) > 2 and 1 < shape[-1] <= _MOST_SAMPLES:
            return VolumeAxes(
                problem=f"an array of {extents} that names no axes; its last axis looks like {shape[-1]} colours or channels: "
                "write one of them, or name the axes"
            )
    if len(shape) < 2 or not {"y", "x"} <= set(names) or len(set(names)) < len(names) or min(shape) < 1:
        return VolumeAxes(problem=f"an array of {extents} with the axes {', '.join(names)}; expected z, y, x")
    fixed: dict[int, int] = {}
    for axis, name in enumerate(names):
        if name in "zyx":
            continue
        index = choices.get(name, 0)
        if shape[axis] > 1 and name not in choices:
            what = {"c": "channels", "t": "time points"}.get(name, f"images along {name}")
            return VolumeAxes(
                problem=f"{shape[axis]} {what}; expected one: choose it with --dataset {name}=0 to {name}={shape[axis] - 1} "
                "(after the array's path, if it has one)"
            )
        if index >= shape[axis]:
            return VolumeAxes(problem=f"{name}={index} is beyond its {shape[axis]} images along {name}")
        fixed[axis] = index
    if unknown := set(choices) - set(names):
        return VolumeAxes(problem=f"no axis {', '.join(sorted(unknown))}; its axes are {', '.join(names)}")
    z = names.index("z") if "z" in names else None
    order = (z, names.index("y"), names.index("x"))
    sides = (1 if z is None else int(shape[z]), int(shape[order[1]]), int(shape[order[2]]))
    return VolumeAxes(order, fixed, sides, assumed)

"""Part `placed`: the misfit of slices as placed, where errors of placement are planted on top of true maps.

Textures that change with depth and real serial sections are placed where they belong (real ones: where the registration puts
them), and some slices wrongly by a known map. Shown per case: how far the measured misfit is from the planted one on top of what
is measured without it (root mean square over the slice, worst pair), the tissue's own motion, the fraction of pairs
measured, the fraction whose change from pair to pair lies within the stated 95 % uncertainty, and whether the misplaced slices
are the ones that stand out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from _depth_textures import DepthTexture, acquire, jitter
from numpy.typing import NDArray

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import largest_common_rectangle, register_stack
from spherovem_core.registration.affine import (
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.misfit import Misfits
from spherovem_core.registration.placement_jobs import measure_placement

COUNT, WRONG = 12, 6
ERROR_PX, FLAG_PX = 0.3, 1.0
REAL = Path(__file__).parents[2] / "shared" / "data" / "sstem_vnc"

Maps = NDArray[np.float64]


def _scale(factor: float, shape: tuple[int, int]) -> Maps:
    centre = slice_centre(shape)
    return np.concatenate([factor * np.eye(2), ((1 - factor) * centre)[:, None]], 1)


@dataclass(frozen=True)
class Case:
    """An error of placement, of one slice or of all from one on."""

    name: str
    error: Callable[[tuple[int, int]], Maps]
    onward: bool = False


def _shift(px: float) -> Callable[[tuple[int, int]], Maps]:
    return lambda _: shift_matrix(0.8 * px, -0.6 * px)


CASES = [
    Case("none", _shift(0.0)),
    *(Case(f"shift {px:g} px", _shift(px)) for px in (0.5, 2.0, 5.0, 20.0, 50.0)),
    *(Case(f"jump {px:g} px", _shift(px), True) for px in (5.0, 50.0)),
    *(Case(f"turn {deg:g} deg", lambda shape, d=deg: rotation_matrix(d, shape), True) for deg in (0.5, 3.0)),  # type: ignore[misc]
    *(Case(f"scale {pc:g} %", lambda shape, p=pc: _scale(1 + p / 100, shape), True) for pc in (0.5, 3.0)),  # type: ignore[misc]
]


@dataclass(frozen=True)
class Stack:
    """Slices and where they belong; the misfit found there is that of the tissue itself, such as its lean."""

    name: str
    slices: NDArray[np.uint8]
    truth: Maps

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a slice."""
        return self.slices.shape[1], self.slices.shape[2]

    def measure(self, transforms: Maps) -> Misfits:
        """Measure the misfit of the slices placed by these maps."""
        crop = largest_common_rectangle(transforms, self.shape)
        numbers = range(len(self.slices))
        measured = measure_placement(
            self.slices, transforms, crop, numbers, RegistrationParameters(), Execution(device="cpu"), {}
        )
        return Misfits.of(measured.pairs, len(self.slices), 50)


def run(quick: bool, seeds: list[int]) -> int:
    """Print the cases; return the number beyond a limit."""
    lines = []
    for stack in _stacks(quick, seeds):
        tissue = stack.measure(stack.truth)
        for case in CASES if not quick else CASES[::2]:
            lines.append(_score(stack, case, tissue))
    lines.sort()
    for _, _, text in lines:
        print(text)
    return sum(beyond for beyond, _, _ in lines)


def _stacks(quick: bool, seeds: list[int]) -> Iterator[Stack]:
    shape = (240, 272) if quick else (480, 512)
    for seed in seeds:
        texture = DepthTexture((96, 320, 336) if quick else (96, 540, 576), seed)
        for noise, step in ((8.0, 2.0), (25.0, 4.0)):
            truth = jitter(COUNT, shape, 3.0, seed)
            slices = acquire(texture, step * np.arange(COUNT), truth, shape, [noise] * COUNT, seed)
            yield Stack(f"noise {noise:g}, step {step:g} px, seed {seed}", slices, truth)
    files = sorted(REAL.rglob("*.tif*"))
    if files:
        slices = np.stack([tifffile.imread(path) for path in files[:COUNT]])
        if quick:
            slices = slices[:, :512, :512]
        yield Stack("serial sections", slices, register_stack(slices).transforms)


def _score(stack: Stack, case: Case, tissue: Misfits) -> tuple[bool, float, str]:
    truth, shape = stack.truth, stack.shape
    wrong = case.error(shape)
    moved = [z >= WRONG if case.onward else z == WRONG for z in range(COUNT)]
    transforms = np.stack([compose(m, wrong) if w else m for m, w in zip(truth, moved, strict=True)])
    found = stack.measure(transforms)
    back = invert(transforms[1:])
    planted = compose(back, compose(truth[1:], compose(invert(truth[:-1]), transforms[:-1])))
    # The tissue's own motion, where the slices belong, is seen in the frame of the slices as they are placed.
    here = compose(invert(transforms[:-1]), truth[:-1])
    own = compose(invert(here), compose(tissue.residual[1:], here))
    expected = compose(planted, own)
    error = rms_displacement(found.residual[1:] - expected, shape)
    known = np.isfinite(error)
    worst = float(error[known].max(initial=0.0))
    whole = found.residual[1:] - planted
    change = rms_displacement(whole - np.nanmedian(whole, axis=0), shape)
    covered = float(np.mean(change[known] <= 1.96 * found.uncertainty_px[1:][known]))
    size = rms_displacement(planted - np.eye(2, 3), shape)
    flags = np.flatnonzero(rms_displacement(found.deviation(), shape) > FLAG_PX)
    right = set(np.flatnonzero(size > 1.5 * FLAG_PX) + 1) <= set(flags) and (
        set(flags) <= set(np.flatnonzero(size > 0.5) + 1) | set(np.flatnonzero(change > 0.5) + 1)
    )
    beyond = worst > ERROR_PX or known.mean() < 0.9 or not right
    text = (
        f"{stack.name}, {case.name}: planted {size.max():.2f} px, found wrong by {worst:.3f} px at worst "
        f"(limit {ERROR_PX}), tissue's own {np.nanmax(rms_displacement(whole, shape)):.2f} px, measured {known.mean():.0%}, "
        f"covered {covered:.0%}, {'right' if right else f'WRONG: {list(flags)}'} slices stand out"
    )
    return beyond, worst, text

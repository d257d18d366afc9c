"""Coverage of the stated uncertainties, and verdicts on pairs that are wrong.

The true motion of a pair is that of the frame against the specimen. Tissue that changes counts as error, except for its median
lean over the stack. Real slices are cut along y and x of the published stack: its own slices, along z, move by about 0.19 and
0.11 px from one to the next (the left and right half of a slice agree on it, with a correlation of 0.87 along y), which is a true
motion that the planted one does not contain. They are shown as well, without a limit. A stated interval is checked for the
displacement along y and x at nine points of the slice. A wrong pair is one of neighbours that is wrong by more than 1 px
(rms over the slice); it is caught if it is not trusted and the slice is bridged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from _fixed_patterns import (
    FIBSEM,
    Motion,
    Pattern,
    acquire,
    field_of,
    real_tissue,
    texture,
)
from _registration_truth_fixed import last_record
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.registration import register_stack
from spherovem_core.registration.affine import (
    IDENTITY,
    Matrix,
    compose,
    invert,
    rms_displacement,
    slice_centre,
)
from spherovem_core.registration.uncertainty import covariance_with_pattern
from spherovem_core.synthetic.phantom import SCENES, make_phantom

Z95 = 1.96
LOWEST, HIGHEST = 0.9, 0.99
WRONG_PX = 1.0
PHANTOM_SCENES = (
    "curtains", "databar", "streaks", "halos", "resin", "dark-resin", "spheroid", "lumina", "poisson", "correlated",
    "focus-drift", "contrast-drift", "shading", "thickness", "escape-depth", "uneven-slices", "stage-jumps",
    "magnification-steps", "lasting-turn", "wild-slice",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A stack, its true maps, and slices that are damaged on purpose."""

    name: str
    slices: NDArray[np.uint8]
    truth: Matrix
    own_motion: bool = False
    judged: bool = True


@dataclass
class Tally:
    """Findings in one stack: errors of neighbours, which intervals held, verdicts."""

    errors: NDArray[np.float64]
    held: NDArray[np.bool_]
    places_held: NDArray[np.bool_]
    caught: NDArray[np.bool_]


def run(quick: bool, seeds: list[int]) -> int:
    tallies: list[tuple[str, Tally]] = []
    unjudged: set[str] = set()
    for seed in seeds:
        for case in cases(quick, seed):
            tallies.append((case.name, tally(case)))
            if not case.judged:
                unjudged.add(case.name)
    names = sorted({name for name, _ in tallies})
    rows = []
    for name in names:
        chosen = [t for n, t in tallies if n == name]
        held = np.concatenate([t.held.ravel() for t in chosen])
        rows.append((name, float(held.mean()) if held.size else np.nan, chosen))
    beyond = 0
    for name, covered, chosen in sorted(rows, key=lambda row: -row[1]):
        outside = name not in unjudged and not LOWEST <= covered <= 1.0
        beyond += outside
        places = np.concatenate([t.places_held for t in chosen])
        errors = np.concatenate([t.errors for t in chosen])
        print(
            f"{name:28s} 95 % intervals of pairs hold {covered:5.1%}, of places {places.mean():5.1%}; pair error median "
            f"{np.median(errors):.2f} largest {errors.max():.2f} px{'  BEYOND' if outside else ''}",
            flush=True,
        )
    tallies = [(name, t) for name, t in tallies if name not in unjudged]
    pooled = np.concatenate([t.held.ravel() for _, t in tallies])
    errors = np.concatenate([t.errors for _, t in tallies])
    caught = np.concatenate([t.caught for _, t in tallies])
    wrong = errors > WRONG_PX
    share = float(caught[wrong].mean()) if wrong.any() else 1.0
    print(f"all: 95 % intervals hold {pooled.mean():.1%} (limits {LOWEST:.0%} and {HIGHEST:.0%})")
    print(
        f"wrong pairs: {wrong.sum()}, caught {share:.1%} (limit 95 %); right pairs trusted {1 - caught[~wrong].mean():.1%}"
    )
    return beyond + (not LOWEST <= pooled.mean() <= HIGHEST) + (share < 0.95)


def tally(case: Case) -> Tally:
    """Register a stack as users do, and compare every pair of neighbours and every place with the truth."""
    shape = (case.slices.shape[1], case.slices.shape[2])
    ledger: dict[str, Any] = {}
    alignment = register_stack(case.slices, ledger=ledger)
    count = len(case.slices)
    table = alignment.table
    found = [np.array(last_record(ledger, z)["matrix"]) for z in range(count - 1)]
    wanted = [compose(case.truth[z + 1], invert(case.truth[z])) for z in range(count - 1)]
    elements = np.array([_elements(f - w, shape) for f, w in zip(found, wanted, strict=True)])
    if case.own_motion:
        elements -= np.median(elements, axis=0)
    errors = np.array([_rms(e, shape) for e in elements])
    trusted = table["trusted"].to_numpy(bool)[1:]
    bridged = table["bridged"].to_numpy(bool)[1:]
    held = []
    for z in np.flatnonzero(trusted):
        covariance = _stated(ledger, int(z), shape)
        w = _points(shape)
        deviation = np.sqrt(np.einsum("ij,jk,ik->i", w, covariance, w))
        held.append(np.abs(w @ elements[z]) <= Z95 * deviation)
    shown = compose(invert(case.truth), alignment.transforms)
    bends = rms_displacement(shown[1:-1] - 0.5 * (shown[:-2] + shown[2:]), shape)
    places = bends <= Z95 * table["position_uncertainty_px"].to_numpy()[1:-1]
    return Tally(errors, np.array(held, dtype=bool), np.asarray(places), ~trusted | bridged)


def _stated(ledger: dict[str, Any], z: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the covariance of slice z and the next one, with that of a pattern that was subtracted."""
    last = last_record(ledger, z)
    covariance, pair = np.array(last["covariance"]), f"{z} {z + 1}"
    first = ledger.get(f"without mean: {pair}", ledger[pair])
    if last in (ledger[pair], first):
        return covariance
    return covariance_with_pattern(covariance, np.array(last["matrix"]), np.array(first["matrix"]), shape)


def cases(quick: bool, seed: int) -> Iterator[Case]:
    count, side = (10, 256) if quick else (14, 384)
    scenes: list[tuple[str, ...]] = [(), *((name,) for name in PHANTOM_SCENES if name in SCENES)]
    for names in scenes[:: 4 if quick else 1]:
        phantom = make_phantom(scenes=names, shape=(count, side, side), seed=seed)
        yield Case(f"phantom {'+'.join(names) or 'plain'}", phantom.image, phantom.transforms)
    depth = 12 if quick else 24
    if FIBSEM.is_dir():
        for start in (0, 90, 180)[: 1 if quick else 3]:
            for axis, name in enumerate("zyx"):
                moved = _moved(
                    f"real along {name} from {start}",
                    _cut(depth, start, axis),
                    Motion(),
                    Pattern(),
                    seed + start,
                    own=True,
                )
                yield replace(moved, judged=axis > 0)
        copies = np.repeat(real_tissue(1, 60), depth, 0)
        for noise in (8.0, 20.0):
            yield _moved(f"real copies, noise {noise:g}", copies, Motion(), Pattern(), seed, noise)
        patterned = Pattern(curtains=15.0, databar=0.08, dust=6, resin=0.4)
        yield _moved("real, patterns, half resin", _cut(depth, 30, 1), Motion(), patterned, seed, own=True)
    tissue = texture(depth, 320, seed, 4.0)
    yield _moved("texture", tissue, Motion(), Pattern(), seed)
    yield _moved("texture, patterns", tissue, Motion(), Pattern(15.0, 2.0, 30.0, 0.08, 6, 5.0, 0.4), seed)
    yield _damaged(_moved("texture, damaged slices", tissue, Motion(4.0), Pattern(), seed), seed)
    if FIBSEM.is_dir():
        real = _moved("real, damaged slices", _cut(depth, 120, 2), Motion(4.0), Pattern(), seed, own=True)
        yield _damaged(real, seed)


def _cut(count: int, start: int, axis: int) -> NDArray[np.float64]:
    """Cut planes of the FIB-SEM stack, which is cubic, across one of its axes."""
    return np.moveaxis(real_tissue(250, 0), axis, 0)[start : start + count]


def _moved(
    name: str,
    tissue: NDArray[np.float64],
    motion: Motion,
    pattern: Pattern,
    seed: int,
    noise: float = 8.0,
    own: bool = False,
) -> Case:
    truth = motion.draw(len(tissue), field_of(tissue), seed)
    return Case(name, acquire(tissue, truth, pattern, seed, noise), truth, own)


def _damaged(case: Case, seed: int) -> Case:
    """Damage slices: other tissue, noise, blur, charge over the larger part, inverted contrast, a fold."""
    rng = np.random.default_rng((seed, 77))
    slices = case.slices.copy()
    count, rows, columns = slices.shape
    chosen = rng.permutation(np.arange(1, count - 1, 3))[:6]
    y, x = np.mgrid[:rows, :columns]
    for kind, z in enumerate(chosen):
        image = slices[z].astype(float)
        if kind == 0:
            image = np.rot90(image, 2)
        elif kind == 1:
            image = rng.normal(128.0, 30.0, image.shape)
        elif kind == 2:
            image = ndimage.gaussian_filter(image, 6.0) + rng.normal(0.0, 8.0, image.shape)
        elif kind == 3:
            image = np.where(y + 0.3 * x < 0.8 * rows, 250.0, image) + rng.normal(0.0, 4.0, image.shape)
        elif kind == 4:
            image = 255.0 - image
        else:
            image[:, columns // 3 :] = np.roll(image, 12, 0)[:, columns // 3 :]
        slices[z] = np.clip(np.rint(image), 0, 255)
    return replace(case, slices=slices)


def _elements(difference: Matrix, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the six elements of a displacement about the centre, its linear part for half the longer side."""
    half = (max(shape) - 1) / 2.0
    shift = difference @ np.append(slice_centre(shape), 1.0)
    rows = [[*(half * difference[axis, :2]), shift[axis]] for axis in range(2)]
    return np.array(rows).ravel()


def _rms(elements: NDArray[np.float64], shape: tuple[int, int]) -> float:
    half = (max(shape) - 1) / 2.0
    linear = elements.reshape(2, 3)[:, :2] / half
    shift = elements.reshape(2, 3)[:, 2] - linear @ slice_centre(shape)
    return float(rms_displacement(np.concatenate([linear, shift[:, None]], 1) + 0.0 * IDENTITY, shape))


def _points(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return rows that turn the six elements into the displacements along y and x at nine points."""
    half = (max(shape) - 1) / 2.0
    rows = []
    for y in (-0.8, 0.0, 0.8):
        for x in (-0.8, 0.0, 0.8):
            place = [y * (shape[0] - 1) / 2.0 / half, x * (shape[1] - 1) / 2.0 / half, 1.0]
            rows += [[*place, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, *place]]
    return np.array(rows)

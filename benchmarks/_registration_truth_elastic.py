"""Part of `registration_truth.py`: smooth local fields, each slice its own, and stacks that have none.

Each case gives the misplacement of slices after the whole stage with ``refinement: elastic`` and default parameters: the root
mean square over the slice of its distance from the mean of its two neighbours, times √(2/3), which is the error of one slice
where errors are independent; the worst slice counts. What changes slowly through the stack cannot be told from tissue and is
not counted. On real slices, the run without planted fields is the truth. Where nothing is planted, the largest local
displacement counts.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from _evolving_tissue import MARGIN_PX, Waves, acquire, random_waves, tissue_volume
from numpy.typing import NDArray

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import Alignment, apply_alignment, register_stack
from spherovem_core.shape import measure_labels
from spherovem_core.synthetic.phantom import make_phantom

ELASTIC = RegistrationParameters(refinement="elastic")
SHARED = Path(__file__).parents[2] / "shared" / "data"
LIMIT_PX, STILL_LIMIT_PX, SHAPE_LIMIT = 0.5, 0.2, 0.002
SPACING_NM = (10.0, 10.0, 10.0)


@dataclass(frozen=True)
class Scene:
    """Tissue, larger than the slices by a margin; true positions are known unless it is real.

    `tissue` is the fraction of the width, from the left, that shows tissue: resin beside it has no position.
    """

    name: str
    volume: Callable[[int], NDArray[np.generic]]
    real: bool = False
    noise: float = 8.0
    tissue: float = 1.0


@dataclass(frozen=True)
class Planted:
    """Fields planted on slices: size in px as root mean square or peak, shortest wave as a fraction of the side."""

    size_px: float
    measure: str
    shortest: float
    only: int | None = None

    def fields(self, count: int, shape: tuple[int, int], seed: int) -> list[Waves | None]:
        """Draw the field of each slice."""
        rng = np.random.default_rng([seed, 3])
        drawn = [
            random_waves(rng, shape, self.size_px, self.measure, (self.shortest, 1.0)) for _ in range(count)
        ]
        return [f if self.only in (None, z) and self.size_px else None for z, f in enumerate(drawn)]

    def __str__(self) -> str:
        where = "every slice" if self.only is None else "one slice"
        return f"{self.size_px:g} px {self.measure}, waves from {self.shortest:g} of the side, {where}"


NOTHING = Planted(0.0, "rms", 0.25)


def run(quick: bool, seeds: list[int]) -> int:
    """Print each case with its limit, worst last; return how many are beyond it."""
    found: list[tuple[float, str]] = []
    for scene in _scenes(quick):
        for seed in seeds:
            found += _cases(scene, seed, quick)
    for seed in seeds:
        found += _shapes(seed)
    found.sort(key=lambda case: case[0])
    for _, text in found:
        print(text)
    return sum(ratio > 1.0 for ratio, _ in found)


def _scenes(quick: bool) -> list[Scene]:
    thin = Scene("thin slices of random tissue, 256²", lambda seed: tissue_volume(20, (256, 256), seed, 1.0))
    if quick:
        return [thin]
    scenes = [
        thin,
        Scene("the same, half resin", lambda seed: tissue_volume(20, (256, 256), seed, 1.0, 0.5), tissue=0.5),
        Scene("slices 2 px thick, 384²", lambda seed: tissue_volume(20, (384, 384), seed, 2.0)),
        Scene("slices 4 px thick, 512²", lambda seed: tissue_volume(20, (512, 512), seed, 4.0)),
        Scene("phantom, 560²", lambda seed: make_phantom(shape=(20, 560, 560), seed=seed).clean),
    ]
    flies = sorted((SHARED / "fibsem_drosophila" / "slices").glob("*.tif"))
    worms = sorted((SHARED / "sstem_vnc").rglob("*.tif"))
    if flies:
        scenes.append(
            Scene("FIB-SEM of Drosophila, 202²", lambda seed: _read(flies, 10 * (seed % 20)), True, 0.0)
        )
    if worms:
        scenes.append(Scene("serial sections of Drosophila, 976²", lambda seed: _read(worms, 0), True, 0.0))
    return scenes


def _read(paths: list[Path], start: int) -> NDArray[np.generic]:
    return np.stack([tifffile.imread(path) for path in paths[start : start + 20]])


def _cases(scene: Scene, seed: int, quick: bool) -> list[tuple[float, str]]:
    volume = scene.volume(seed)
    count, shape = len(volume), (volume.shape[1] - 2 * MARGIN_PX, volume.shape[2] - 2 * MARGIN_PX)
    jitter = np.random.default_rng([seed, 5]).normal(0.0, 2.0, (count, 2))
    found = []
    still: NDArray[np.float64] | None = None
    plans = [NOTHING, Planted(5.0, "peak", 0.25)]
    if not quick:
        plans += [
            Planted(5.0, "rms", 0.5),
            Planted(5.0, "rms", 0.25),
            Planted(5.0, "rms", 0.5, only=count // 2),
        ]
    for plan in plans:
        fields = plan.fields(count, shape, seed)
        slices = acquire(volume, fields, jitter, scene.noise, seed)
        begun = time.perf_counter()
        alignment = register_stack(slices, ELASTIC)
        seconds = (time.perf_counter() - begun) / count
        places = _tissue_places(alignment, fields, jitter, scene.tissue)
        title = f"{scene.name}, seed {seed}"
        largest = float(alignment.table["elastic_max_px"].max())
        if plan is NOTHING:
            still = places
            ratio = largest / STILL_LIMIT_PX
            text = (
                f"{title}, nothing planted: largest displacement {largest:.3f} px (limit {STILL_LIMIT_PX:g})"
            )
        else:
            plain = Alignment(alignment.transforms, alignment.crop, alignment.table)
            before = _misplacement(_tissue_places(plain, fields, jitter, scene.tissue))
            left = _misplacement(places - still if scene.real and still is not None else places)
            ratio = float(left.max()) / LIMIT_PX
            text = (
                f"{title}, {plan}: {left.max():.3f} px left in the worst slice (limit {LIMIT_PX:g}), "
                f"{np.median(left):.3f} in the median one; {before.max():.2f} without refinement"
            )
        found.append((ratio, f"{text}; {seconds:.2f} s a slice"))
        print(found[-1][1], flush=True)
    return found


def _tissue_places(
    alignment: Alignment, fields: list[Waves | None], jitter: NDArray[np.float64], tissue: float
) -> NDArray[np.float64]:
    """Return where in the tissue each slice shows what, on a grid of the reference frame: (Z, 2, rows, columns)."""
    height, width = float(alignment.crop.y1), float(alignment.crop.x1)
    y, x = np.linspace(0.06, 0.94, 60) * height, np.linspace(0.06, tissue - 0.06, 60) * width
    shown = []
    for z, (matrix, planted) in enumerate(zip(alignment.transforms, fields, strict=True)):
        moved = np.stack(np.meshgrid(y, x, indexing="ij"))
        if alignment.fields is not None:
            down, along = alignment.fields.mesh.interpolation(y, x)
            nodes = alignment.fields.nodes[z].astype(float)
            moved += np.stack([down @ nodes[..., k] @ along.T for k in range(2)])
        place = np.stack([row[0] * moved[0] + row[1] * moved[1] + row[2] for row in matrix])
        bent = planted.at(place[0], place[1]) if planted else 0.0
        shown.append(place + bent + jitter[z][:, None, None])
    return np.stack(shown)


def _misplacement(places: NDArray[np.float64]) -> NDArray[np.float64]:
    bend = places[1:-1] - 0.5 * (places[:-2] + places[2:])
    return np.asarray(np.sqrt(2.0 / 3.0 * (bend**2).sum(1).mean((1, 2))))


def _shapes(seed: int) -> list[tuple[float, str]]:
    """Measure a ball that is acquired and placed along with the tissue."""
    count, shape = 40, (200, 200)
    volume = tissue_volume(count, shape, seed, 1.0)
    z, y, x = np.ogrid[:count, : volume.shape[1], : volume.shape[2]]
    radius = np.sqrt((z - 19.5) ** 2 + (y - 124.0) ** 2 + (x - 124.0) ** 2)
    ball = 255.0 / (1.0 + np.exp(2.0 * (radius - 15.0)))
    jitter = np.zeros((count, 2))
    truth = _measure(acquire(ball, [None] * count, jitter, 0.0, seed))
    found = []
    for plan in (NOTHING, Planted(5.0, "peak", 0.25)):
        fields = plan.fields(count, shape, seed)
        alignment = register_stack(acquire(volume, fields, jitter, 8.0, seed), ELASTIC)
        acquired = acquire(ball, fields, jitter, 0.0, seed)
        plain = Alignment(alignment.transforms, alignment.crop, alignment.table)
        without, refined = (_measure(apply_alignment(acquired, a)) for a in (plain, alignment))
        reference = without if plan is NOTHING else truth
        changes = {name: refined[name] / reference[name] - 1.0 for name in truth}
        worst = max(abs(change) for change in changes.values())
        listed = ", ".join(f"{name} {change:+.2%}" for name, change in changes.items())
        if plan is NOTHING:
            text = f"ball, seed {seed}, nothing planted: {listed} by the refinement (limit {SHAPE_LIMIT:.1%})"
            found.append((worst / SHAPE_LIMIT, text))
        else:
            plainly = ", ".join(f"{name} {without[name] / truth[name] - 1.0:+.2%}" for name in truth)
            text = f"ball, seed {seed}, {plan}: {listed} against the truth; without refinement {plainly} (no limit)"
            found.append((0.0, text))
        print(text, flush=True)
    return found


def _measure(image: NDArray[np.uint8]) -> dict[str, float]:
    row = measure_labels((image > 127).astype(np.uint32), SPACING_NM).iloc[0]
    return {name: float(row[name]) for name in ("volume_um3", "surface_area_um2", "sphericity")}

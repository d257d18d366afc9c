"""Nanoparticles of independent images with default parameters: one line per case, with the worst seed of each figure."""

import fnmatch
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from _independent_cases import UnkindCase, cases
from _independent_images import draw
from _particle_scores import ParticleScore, reliability, score_failure, score_particles

from spherovem_core.errors import SpheroVemError
from spherovem_core.nanoparticles import find_particles
from spherovem_core.parameters import NanoparticleParameters

HEAD = (
    f"{'case':34} {'true':>5} {'found':>6} {'false':>5} {'prec.':>6} {'recall':>6} {'each kind':>11} "
    f"{'size':>5} {'count':>6} {'Dice':>5} {'label':>6} {'conf.':>6}  out of limits"
)


@dataclass(frozen=True)
class Worst:
    """The worst value of each figure over the seeds of a case; NaN where no seed has one."""

    true: int
    found: int
    false: int
    precision: float
    recall: float
    recalls: tuple[float, ...]
    size_ratio: float
    count_ratio: float
    dice: float
    labelled: float
    excess: float
    confidence_gap: float
    failure: str

    @property
    def least_recall(self) -> float:
        """Recall of the kind that is found least; NaN if no kind has particles that are asked for."""
        return _least(self.recalls)


def score_case(case: UnkindCase, seed: int) -> ParticleScore:
    """Draw an image, find its particles and score them."""
    drawing = draw(case.recipe, seed)
    parameters = NanoparticleParameters(**drawing.parameters)
    truth = (drawing.particles, drawing.labels, drawing.spacing_nm)
    try:
        found = find_particles(drawing.image, drawing.spacing_nm, parameters)
    except SpheroVemError as error:
        return score_failure(*truth, str(error))
    return score_particles(found.labels, found.table, *truth)


def worst(scores: Sequence[ParticleScore]) -> Worst:
    """Take the worst value of each figure."""
    kinds = sorted({kind for score in scores for kind in score.recalls})
    gaps = [float(s.confidence.mean() - s.right.mean()) for s in scores if s.found]
    return Worst(
        scores[0].true,
        max(score.found for score in scores),
        max(score.false for score in scores),
        _least([score.precision for score in scores]),
        _least([score.recall for score in scores]),
        tuple(_least([score.recalls.get(kind, float("nan")) for score in scores]) for kind in kinds),
        _furthest([score.size_ratio for score in scores], 1),
        _furthest([score.count_ratio for score in scores], 1),
        _least([score.dice for score in scores]),
        max(score.labelled for score in scores),
        max(score.excess for score in scores),
        _furthest(gaps, 0),
        next((score.failure for score in scores if score.failure), ""),
    )


def _least(values: Sequence[float]) -> float:
    return min((value for value in values if value == value), default=float("nan"))


def _furthest(values: Sequence[float], wanted: float) -> float:
    return max(
        (value for value in values if value == value),
        key=lambda value: abs(value - wanted),
        default=float("nan"),
    )


def beyond(case: UnkindCase, result: Worst) -> list[str]:
    """Name the figures that miss their limits; a figure without a value misses it where particles exist."""
    limits = case.limits
    missed = ["failed"] if result.failure else []
    if result.excess > limits.excess:
        missed.append("labelled")
    if result.true == 0:
        return missed + (["false"] if result.false > limits.false else [])
    if limits.precision == limits.precision and not result.precision >= limits.precision:
        missed.append("precision")
    if limits.recall == limits.recall and not result.least_recall >= limits.recall:
        missed.append("recall")
    if limits.size == limits.size and not abs(result.size_ratio - 1) <= limits.size:
        missed.append("size")
    if limits.dice == limits.dice and not result.dice >= limits.dice:
        missed.append("Dice")
    if limits.count == limits.count and not abs(result.count_ratio - 1) <= limits.count:
        missed.append("count")
    return missed


def line(case: UnkindCase, result: Worst) -> str:
    """Format a case."""
    each = " ".join(f"{value:.2f}" for value in result.recalls) if len(result.recalls) > 1 else ""
    failure = f": {result.failure}" if result.failure else ""
    return (
        f"{case.name:34} {result.true:5d} {result.found:6d} {result.false:5d} {result.precision:6.3f} {result.recall:6.3f} "
        f"{each:>11} {result.size_ratio:5.2f} {result.count_ratio:6.2f} {result.dice:5.2f} {result.labelled:6.1%} "
        f"{result.confidence_gap:+6.2f}  {', '.join(beyond(case, result))}{failure}"
    ).replace("nan", "  -")


def unkind(patterns: Sequence[str], seeds: Sequence[int], workers: int) -> list[tuple[UnkindCase, Worst]]:
    """Score the cases whose names match a pattern (`resin*`), and print a line for each, then the reliability of all."""
    chosen = [case for case in cases() if any(fnmatch.fnmatch(case.name, pattern) for pattern in patterns)]
    start = time.perf_counter()
    print(
        f"{len(chosen)} cases, seeds {' '.join(map(str, seeds))}; the worst seed of each figure\n{HEAD}",
        flush=True,
    )
    results, scores = [], []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        todo = [(case, [executor.submit(score_case, case, seed) for seed in seeds]) for case in chosen]
        for case, futures in todo:
            mine = [future.result() for future in futures]
            scores += mine
            results.append((case, worst(mine)))
            print(line(*results[-1]), flush=True)
    print_summary(results, scores)
    print(f"{time.perf_counter() - start:.0f} s")
    return results


def print_summary(results: Sequence[tuple[UnkindCase, Worst]], scores: Sequence[ParticleScore]) -> None:
    """Print how many cases are within their limits, and the reliability of the confidence over all objects."""
    good = sum(not beyond(case, result) for case, result in results)
    print(f"{good} of {len(results)} cases within their limits")
    confidence = np.concatenate([score.confidence for score in scores])
    right = np.concatenate([score.right for score in scores])
    print("reliability of all objects: confidence -> fraction that are particles (objects)")
    for mean, fraction, count in reliability(confidence, right):
        print(f"  {mean:.2f} -> {fraction:.2f} ({count})  gap {fraction - mean:+.2f}")

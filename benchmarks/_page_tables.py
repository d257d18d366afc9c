"""Tables of the validation pages: the worst figures of each scene, and what is beyond its limit."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from _denoised_scores import DenoisedScore
from _independent_cases import UnkindCase
from _particle_scores import ParticleScore, reliability
from _scene_images import SceneCase
from _unkind import Worst, beyond

LEAST_GAIN_DB = -0.3
LEAST_CONTRAST = 0.9
LEAST_BITS = 6.0
GREATEST_GAP = 0.1


def group_table(results: Sequence[tuple[UnkindCase, Worst]]) -> Iterator[str]:
    """Write one line per group of cases, with the worst case of each figure."""
    yield "| images | cases within their limits | precision | recall | false | size ratio | count ratio |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, group in groupby(results, key=lambda result: result[0].group):
        mine = list(group)
        good = sum(not beyond(case, result) for case, result in mine)
        some = [result for _, result in mine if result.true]
        asked = [result for case, result in mine if case.limits.recall == case.limits.recall and result.true]
        figures = (
            number(min((r.precision for r in some if r.precision == r.precision), default=np.nan), "{:.2f}"),
            number(min((r.least_recall for r in asked), default=np.nan), "{:.2f}"),
            str(max(result.false for _, result in mine)),
            number(furthest(r.size_ratio for r in some), "{:.2f}"),
            number(furthest(r.count_ratio for r in some), "{:.2f}"),
        )
        yield f"| {name} | {good} of {len(mine)} | {' | '.join(figures)} |"


def scene_table(results: Sequence[tuple[SceneCase, Worst]], misplaced: Sequence[float]) -> Iterator[str]:
    """Write one line per scene; `misplaced` is the remaining misplacement from slice to slice in pixels."""
    yield (
        "| scene | particles | precision | recall | false | size ratio | count ratio | Dice | confidence less precision | "
        "slice to slice (px) |"
    )
    yield "|" + " --- |" * 10
    for (scene, result), step in zip(results, misplaced, strict=True):
        recalls = " / ".join(number(recall, "{:.2f}") for recall in result.recalls) or "–"
        figures = (
            str(result.true),
            number(result.precision, "{:.2f}"),
            recalls,
            str(result.false),
            number(result.size_ratio, "{:.2f}"),
            number(result.count_ratio, "{:.2f}"),
            number(result.dice, "{:.2f}"),
            number(result.confidence_gap, "{:+.2f}"),
            number(step, "{:.2f}"),
        )
        yield f"| {scene.name} | {' | '.join(figures)} |"


def denoised_table(rows: Sequence[tuple[str, Sequence[DenoisedScore], bool]]) -> Iterator[str]:
    """Write one line per case: the seed with the smallest lead, and the worst of the other figures."""
    yield "| image | as acquired | best filter | denoised | lead (≥ −0.3 dB) | kept contrast (≥ 0.9) | bits of the tissue (≥ 6) |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, scores, wide in rows:
        least = min(scores, key=lambda score: score.gain_db)
        bits = f"{min(score.tissue_bits for score in scores):.1f}" if wide else "–"
        yield (
            f"| {name} | {least.noisy_db:.1f} dB | {least.best_db:.1f} dB ({least.best}) | {least.denoised_db:.1f} dB | "
            f"{least.gain_db:+.1f} dB | {number(min(s.contrast for s in scores), '{:.2f}')} | {bits} |"
        )


def misses(results: Sequence[tuple[str, Worst, list[str]]]) -> Iterator[str]:
    """Say how many scenes are within their limits, and name the others with their figures."""
    missed = [(name, result, figures) for name, result, figures in results if figures]
    yield f"{len(results) - len(missed)} of {len(results)} are within their limits."
    if missed:
        yield ""
        yield "Beyond their limits:"
        yield ""
    for name, result, figures in missed:
        yield f"- {name}: {', '.join(f'{figure} {measured(result, figure)}' for figure in figures)}"


def measured(result: Worst, figure: str) -> str:
    """Format the figure that missed its limit."""
    if figure == "recall":
        return number(result.least_recall, "{:.2f}")
    if figure == "failed":
        return f"({result.failure})"
    values = {
        "precision": (result.precision, "{:.2f}"),
        "size": (result.size_ratio, "{:.3f}"),
        "Dice": (result.dice, "{:.2f}"),
        "count": (result.count_ratio, "{:.2f}"),
        "labelled": (100 * result.labelled, "{:.1f} %"),
        "false": (result.false, "{:.0f}"),
    }
    return number(*values[figure])


def missed_names(results: Sequence[tuple[Any, Worst]]) -> tuple[str, ...]:
    """Name the scenes that miss a limit, with the figures."""
    found = [(case.name, beyond(case, result)) for case, result in results]
    return tuple(f"{name}: {', '.join(figures)}" for name, figures in found if figures)


def beyond_denoised(scores: Sequence[DenoisedScore], wide: bool) -> list[str]:
    """Name the figures of a case that miss their limits."""
    missed = []
    if min(score.gain_db for score in scores) < LEAST_GAIN_DB:
        missed.append("dB")
    if min(score.contrast for score in scores) < LEAST_CONTRAST:
        missed.append("contrast")
    if wide and min(score.tissue_bits for score in scores) < LEAST_BITS:
        missed.append("bits")
    return missed


def reliability_lines(scores: Sequence[ParticleScore]) -> Iterator[str]:
    """Write the reliability of the confidence of all objects of all scenes."""
    yield "| confidence of objects, all scenes | particles among them | objects |"
    yield "| --- | --- | --- |"
    for mean, fraction, count in pooled(scores):
        yield f"| {mean:.2f} | {fraction:.2f} | {count} |"


def too_far(scores: Sequence[ParticleScore]) -> tuple[str, ...]:
    """Name the tenths of the confidence that are further from the truth than allowed."""
    far = [(mean, fraction) for mean, fraction, _ in pooled(scores) if abs(mean - fraction) > GREATEST_GAP]
    return tuple(f"objects of confidence {mean:.2f}: {fraction:.2f} are particles" for mean, fraction in far)


def pooled(scores: Sequence[ParticleScore]) -> list[tuple[float, float, int]]:
    """Compute the reliability of all objects together."""
    return reliability(
        np.concatenate([score.confidence for score in scores]),
        np.concatenate([score.right for score in scores]),
    )


def furthest(values: Iterable[float]) -> float:
    """Return the value furthest from 1; NaN without one."""
    return max((v for v in values if v == v), key=lambda v: abs(v - 1), default=float("nan"))


def number(value: float, form: str) -> str:
    """Format a number; a dash where there is none."""
    return form.format(value) if value == value else "–"

"""Simulated audits: a volume of balls with planted faults, and a person who knows the truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.audit import AuditSample, Judged, PlaceFrame, draw_sample, estimate
from spherovem_core.audit.drawing import objects_of
from spherovem_core.audit.places import Emptiness, frame_means

SHAPE = (48, 192, 192)
VOXEL_UM = (0.05, 0.03, 0.03)
LARGEST_RATES = {"missed": 0.25, "false": 0.2, "merged": 0.15, "part": 0.1}


@dataclass(frozen=True)
class AuditScene:
    """A volume of true objects and its faulty segmentation.

    Attributes
    ----------
    truth, labels : (Z, Y, X) ndarray of int32
        True objects, and labels.
    table
        Table of the labels.
    verdicts
        Verdict and count by label.
    missed
        True objects without a label.
    figures
        Truth of each quantity that `estimate` estimates.
    """

    truth: NDArray[np.int32]
    labels: NDArray[np.int32]
    table: pd.DataFrame
    verdicts: dict[int, tuple[str, int]]
    missed: tuple[int, ...]
    figures: dict[str, float]


def audit_scene(rng: np.random.Generator, wanted: int, faults: float = 1.0) -> AuditScene:
    """Make balls of several sizes with missed, false, merged and divided ones, at random up to `faults` times `LARGEST_RATES`."""
    truth, centres = _balls(rng, wanted)
    rates = {name: rng.uniform(0, faults * most) for name, most in LARGEST_RATES.items()}
    count = len(centres)
    fates = rng.choice(
        ["missed", "merged", "part", "right"],
        count,
        p=[
            rates["missed"],
            rates["merged"],
            rates["part"],
            1 - rates["missed"] - rates["merged"] - rates["part"],
        ],
    )
    # A false object is a ball that the truth lacks.
    false = rng.random(count) < rates["false"]
    labels = truth.copy()
    verdicts: dict[int, tuple[str, int]] = {n + 1: ("right", 1) for n in range(count)}
    missed = []
    free = count + 1
    taken: set[int] = set()
    for n in range(count):
        own = n + 1
        if own in taken:
            continue
        if false[n]:
            # The object was never there: its label is false.
            truth[truth == own] = 0
            verdicts[own] = ("false", 1)
        elif fates[n] == "missed":
            labels[labels == own] = 0
            missed.append(own)
            del verdicts[own]
        elif fates[n] == "part":
            places = np.argwhere(labels == own)
            half = places[places[:, 1] > np.median(places[:, 1])]
            labels[tuple(half.T)] = free
            verdicts[own] = verdicts[free] = ("part", 2)
            free += 1
        elif fates[n] == "merged":
            away = np.linalg.norm((centres - centres[n]) * VOXEL_UM, axis=1)
            others = [
                int(m)
                for m in np.argsort(away)[1:4]
                if m > n and not false[m] and m + 1 not in taken and fates[m] == "right"
            ]
            if others:
                other = others[0] + 1
                labels[labels == other] = own
                verdicts[own] = ("merged", 2)
                del verdicts[other]
                taken.add(other)
    table = _table(labels)
    volume = float((truth > 0).sum() * np.prod(VOXEL_UM))
    true = len(np.unique(truth)) - 1
    right = sum(verdict == "right" for verdict, _ in verdicts.values())
    labelled = len(table)
    figures = {
        "precision": right / labelled,
        "recall": right / true,
        "f1": 2 * right / (labelled + true),
        **{
            f"{name}_fraction": sum(verdict == name for verdict, _ in verdicts.values()) / labelled
            for name in ("false", "merged", "part")
        },
        "missed": float(len(missed)),
        "count": float(true),
        "volume": volume,
        "volume_fraction": volume / float(np.prod(SHAPE) * np.prod(VOXEL_UM)),
    }
    return AuditScene(truth, labels, table, verdicts, tuple(missed), figures)


def run_audit(scene: AuditScene, seed: int, stated_sizes: bool) -> pd.DataFrame:
    """Draw a sample, judge it as the truth says, and estimate."""
    rng = np.random.default_rng([seed, 9])
    # A review finds half of the wrong objects, and suspects some right ones.
    wrong = np.array([scene.verdicts[label][0] != "right" for label in scene.table["label"]])
    suspected = np.where(wrong, rng.random(len(wrong)) < 0.5, rng.random(len(wrong)) < 0.03)
    suspicious = scene.table["label"][suspected].tolist()
    sample = draw_sample(
        "cells",
        scene.table,
        shape=SHAPE,
        voxel_um=VOXEL_UM,
        emptiness=lambda frame: _emptiness(scene.labels, frame),
        suspicious=suspicious,
        seed=seed,
    )
    judged = judge(scene, sample, rng, stated_sizes)
    return estimate(sample, judged, objects_of(sample, scene.table, suspicious))


def judge(
    scene: AuditScene, sample: AuditSample, rng: np.random.Generator, stated_sizes: bool
) -> list[Judged]:
    """Return the verdicts of a person who makes no errors, but states diameters to 10 %."""
    judged = [Judged(each.item, *scene.verdicts[each.label]) for each in sample.objects]
    volumes = np.bincount(scene.truth.ravel()) * float(np.prod(VOXEL_UM))
    for place in sample.places:
        found = []
        plane = np.where(np.isin(scene.truth[place.z], scene.missed), scene.truth[place.z], 0)
        for label in np.unique(plane[plane > 0]).tolist():
            y, x = ndimage.center_of_mass(plane == label)
            if place.rows[0] <= y < place.rows[1] and place.columns[0] <= x < place.columns[1]:
                found.append(label)
        sizes = [float(np.cbrt(6 / np.pi * volumes[n]) * np.exp(rng.normal(0, 0.1))) for n in found]
        judged.append(Judged(place.item, "missed", len(found), tuple(sizes) if stated_sizes else ()))
    return judged


def _emptiness(labels: NDArray[np.int32], frame: PlaceFrame) -> Emptiness:
    starts = [np.arange(n) * frame.side_px for n in frame.grid]
    return lambda z: frame_means(labels[z] == 0, (starts[0], starts[1]))


def _balls(rng: np.random.Generator, wanted: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Place balls of several sizes that do not overlap."""
    truth = np.zeros(SHAPE, np.int32)
    centres: list[NDArray[np.float64]] = []
    for _ in range(40 * wanted):
        if len(centres) == wanted:
            break
        radius_um = float(np.clip(0.22 * np.exp(rng.normal(0, 0.2)), 0.12, 0.36))
        centre = rng.uniform(0, 1, 3) * (np.array(SHAPE) - 1)
        reach = np.ceil(radius_um / np.array(VOXEL_UM)).astype(int)
        low = np.maximum(np.rint(centre).astype(int) - reach, 0)
        high = np.minimum(np.rint(centre).astype(int) + reach + 1, SHAPE)
        box = tuple(map(slice, low, high))
        grid = np.ogrid[box]
        distance = sum(((g - c) * v) ** 2 for g, c, v in zip(grid, centre, VOXEL_UM, strict=True))
        ball = distance <= radius_um**2
        if ball.sum() > 30 and not truth[box][ball].any():
            centres.append(centre)
            truth[box][ball] = len(centres)
    return truth, np.array(centres)


def _table(labels: NDArray[np.int32]) -> pd.DataFrame:
    counts = np.bincount(labels.ravel())
    rows = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        row: dict[str, float] = {"label": label, "volume_um3": counts[label] * float(np.prod(VOXEL_UM))}
        for axis, side in zip("zyx", box, strict=True):
            row |= {f"bbox_{axis}0": side.start, f"bbox_{axis}1": side.stop, f"centroid_{axis}_um": 0.0}
        rows.append(row)
    return pd.DataFrame(rows)

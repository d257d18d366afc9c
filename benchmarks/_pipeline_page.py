"""The page of the documentation that shows how the pipeline grows, and what 100 and 500 GB would take."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from _pipeline_growth import Figures, Shape, cost, exponent_of, voxels

from spherovem_core.parameters import DenoisingParameters

VOLUMES: dict[str, Shape] = {"100 GB": (2560, 6250, 6250), "500 GB": (5000, 10000, 10000)}
"""Volumes of one byte per voxel to which the figures are extrapolated."""
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Training:
    """Processor time of a short training, and of the daily one by the number of patches.

    Attributes
    ----------
    seconds
        Of the short one, with what it costs to begin.
    daily
        Parameters of the daily one.
    epochs, training_slices, validation_slices
        Of the short one; patches per slice are the same in both.
    """

    seconds: float
    daily: DenoisingParameters
    epochs: int
    training_slices: int
    validation_slices: int

    @property
    def daily_s(self) -> float:
        """Seconds of the daily training if no epoch is saved by patience; the cost to begin is multiplied too."""
        slices = self.daily.training_slices + self.daily.validation_slices
        share = slices / (self.training_slices + self.validation_slices)
        return self.seconds * share * self.daily.epochs / self.epochs

    def __str__(self) -> str:
        return (
            f"training: {self.seconds:.1f} s of processor time for {self.epochs} epoch of {self.training_slices} + "
            f"{self.validation_slices} slices, so at most {self.daily_s / 60:.0f} minutes for the daily {self.daily.epochs} "
            f"epochs of {self.daily.training_slices} + {self.daily.validation_slices}, at any size of the volume"
        )


@dataclass(frozen=True)
class Report:
    """All that the page shows."""

    runs: Mapping[Shape, Figures]
    small: Shape
    by_depth: Sequence[Shape]
    by_area: Sequence[Shape]
    training: Training
    problems: Sequence[str]
    command: str
    minutes: float

    @property
    def steps(self) -> dict[str, str]:
        """Steps, and the library with which each computes on a GPU; empty for none."""
        return {name: step["gpu"] for name, step in self.runs[self.small]["steps"].items()}


FARTHEST = 5000
"""Voxels of a volume over those of the largest run beyond which nothing is extrapolated; with the default runs they are 3200."""


def write_page(path: Path, report: Report) -> None:
    path.write_text(
        "\n\n".join([_introduction(report), _growth(report), _extrapolation(report), _end(report)]) + "\n"
    )


def _introduction(report: Report) -> str:
    depths, areas = (
        ", ".join(" × ".join(map(str, shape)) for shape in series)
        for series in (report.by_depth, report.by_area)
    )
    return (
        "All stages on phantoms of constant density, on the CPU, with the compact network and a denoising model that is trained "
        f"once. Numbers of slices: {depths}. Areas: {areas}. Voxels of 60 × 20 × 20 nm, 8 bits. Seconds are processor time; "
        "time is fitted by a fixed part, one per slice and one per voxel. Exponents are of the time in voxels, beyond that of a "
        f"run of {' × '.join(map(str, report.small))}, with twice their standard error (5 % and 0.1 s per time); the limit is "
        "1.1. Peak memory is beyond that of the process after a small run; it may not grow with the slices by more than 32 MiB "
        "and 10 %. *Written* includes files that are deleted again, *kept* is what remains; both at the largest run."
    )


def _growth(report: Report) -> str:
    lines = [
        "| step | s per gigavoxel | s per 1000 slices | fixed s | exponent, slices | exponent, area | peak MiB, slices | "
        "peak MiB, area | written, bytes per voxel | kept, bytes per voxel |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    largest = max(report.runs, key=voxels)
    for step in report.steps:
        time_cost = cost(report.runs, step, "processor_s")
        exponents = [
            exponent_of(report.runs, report.small, s, step) for s in (report.by_depth, report.by_area)
        ]
        peaks = [
            ", ".join(f"{report.runs[shape]['steps'][step]['peak_bytes'] / 2**20:.0f}" for shape in series)
            for series in (report.by_depth, report.by_area)
        ]
        figures = report.runs[largest]["steps"][step]
        written, kept = (figures[f"{what}_bytes"] / voxels(largest) for what in ("written", "kept"))
        lines.append(
            f"| {step} | {time_cost.per_voxel * 1e9:.0f} | {time_cost.per_slice * 1e3:.1f} | {time_cost.fixed:.1f} | "
            f"{exponents[0]} | {exponents[1]} | {peaks[0]} | {peaks[1]} | {written:.2f} | {kept:.2f} |"
        )
    return "\n".join(lines)


def _extrapolation(report: Report) -> str:
    if (reach := _reach(report)) > FARTHEST:
        return (
            f"Hours and disk for 100 and 500 GB are not given: they would reach {reach:.0f} times as far as the largest run. "
            "Larger runs, such as the default ones, give them."
        )
    shapes = ", ".join(f"{name} {' × '.join(map(str, shape))}" for name, shape in VOLUMES.items())
    head = " | ".join(f"{name}, two cores | {name}, one GPU | {name}, eight GPUs" for name in VOLUMES)
    lines = [
        f"Extrapolated by fixed part, slices and voxels, one byte each ({shapes}). Two cores: hours if both are always busy, "
        "and if only one is.",
        "",
        f"| step | {head} |",
        "|---|" + "--:|" * 3 * len(VOLUMES),
    ]
    costs = {step: cost(report.runs, step, "processor_s") for step in report.steps}
    for step, library in report.steps.items():
        hours = [costs[step].of(shape) / 3600 for shape in VOLUMES.values()]
        lines.append(f"| {step} | " + " | ".join(_cells(hours, bool(library))) + " |")
    total = [sum(each.of(shape) for each in costs.values()) / 3600 for shape in VOLUMES.values()]
    lines.append("| all | " + " | ".join(_cells(total, True)) + " |")
    kept = [cost(report.runs, step, "kept_bytes") for step in report.steps]
    disk = ", ".join(
        f"{sum(each.of(shape) for each in kept) / 1e12:.2f} TB for {name}" for name, shape in VOLUMES.items()
    )
    lines += ["", f"On disk when done: {disk}."]
    return "\n".join(lines)


def _cells(hours: Sequence[float], on_gpu: bool) -> list[str]:
    elsewhere = NOT_MEASURED if on_gpu else "on the CPU"
    return [text for each in hours for text in (f"{each / 2:.1f} to {each:.1f} h", elsewhere, elsewhere)]


def _reach(report: Report) -> float:
    """Return the voxels of the largest volume of the page over those of the largest run."""
    return max(map(voxels, VOLUMES.values())) / max(map(voxels, report.runs))


def _end(report: Report) -> str:
    largest = max(voxels(shape) for shape in report.runs)
    verdict = "; ".join(report.problems) if report.problems else "no step exceeds a limit"
    return (
        f"{str(report.training).capitalize()}.\n\n"
        "What this does not show: the compact network stands for Cellpose-SAM, which takes the far greater part of a daily run "
        "on a CPU; the cells of the phantom measure 125 voxels in the plane, those of a real acquisition several times as many; "
        f"the largest run has {largest / 1e6:.0f} million voxels, and 500 GB {_reach(report):.0f} times as many; reading and "
        "writing came from the page cache; no GPU was measured (`make gpu-check` measures one).\n\n"
        f"Result: {verdict}.\n\n"
        f"`{report.command}`, {report.minutes:.0f} minutes, {time.strftime('%-d %B %Y')}"
    )

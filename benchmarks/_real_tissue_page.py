"""Page of real tissue in the documentation: rows of several runs, kept in a file beside it, and a picture."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.overlays import overlay
from spherovem_core.store import write_text

PAGE, ROWS, PICTURE = "real-tissue.md", "real-tissue.json", "real-tissue.png"
KEY = ("split", "slices", "seed", "method", "network", "epochs")
"""Entries that identify a row; a later run with the same entries replaces it."""
METHODS = ("today", "learned", "baseline")
FIGURES = ("F1", "recall", "VI split", "VI merge", "VI", "VI of cuts", "F1 in 2D")
LIMITS = {"F1": 0.60, "recall": 0.75, "VI": 1.0, "F1 in 2D": 0.75}
"""Aims: scores from below, the variation of information from above."""
INTRODUCTION = """Bodies of Drosophila neuropil, FIB-SEM at 10 nm (janelia-flyem/neuroproof_examples, CC BY), 250³ voxels. Split
`first` trains on xy slices z 2 to 150 and tests on z 170 to 250, `last` trains on z 101 to 247 and tests on z 0 to 80, each
by the commands of the [guide](fine-tuning.md). Bodies of 3,000 voxels and more count.

- `today`: the fine-tuned network, objects where flows converge, merged by the strength of their boundary.
- `learned`: the same network, boundaries and merging learned from the same slices.
- `baseline`: no network. A random forest on filters of the image, watershed, agglomeration by the mean probability at contacts.

F1 in 2D is that of sections of the test region at IoU 0.5: of the network alone in rows `today`, of sections of the result in 3D
in the others. "VI of cuts" are the bits that a perfect segmentation of the region has too: it cuts bodies into pieces that join
outside of it only. Aims: F1 at least 0.60, recall 0.75, variation of information (VI) at most 1.0 bit, F1 in 2D at least 0.75;
bold is within."""


def add_rows(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add rows to those kept beside the page, and return all in order."""
    path = folder / ROWS
    known = json.loads(path.read_text()) if path.is_file() else []
    today = datetime.now(UTC).strftime("%d %B %Y")
    merged = {tuple(row[name] for name in KEY): row for row in known}
    merged |= {tuple(row[name] for name in KEY): {**row, "date": today} for row in rows}
    ordered = sorted(
        merged.values(),
        key=lambda row: (
            row["split"],
            -row["slices"],
            row["seed"],
            METHODS.index(row["method"]),
            str(row["epochs"]),
        ),
    )
    write_text(path, json.dumps(ordered, indent=1) + "\n")
    return ordered


def page(rows: Sequence[Mapping[str, Any]], has_picture: bool) -> str:
    """Return the page as Markdown."""
    lines = [
        INTRODUCTION,
        "",
        *_score_table(rows),
        "",
        "By the volume of bodies, learned, recall / F1 (number of bodies):",
        "",
    ]
    lines += [*_size_table([row for row in rows if row["method"] == "learned"]), ""]
    if has_picture:
        lines += [
            f"![Planes through the test region](validation/{PICTURE})",
            "",
            "The test region of split first in planes xy and xz: `today` on the left, `learned` on the right. Orange are bodies, "
            "blue is found, green both.",
            "",
        ]
    dates = sorted({row["date"] for row in rows}, key=lambda day: datetime.strptime(day, "%d %B %Y"))
    lines += [
        f"{' and '.join(dict.fromkeys((dates[0], dates[-1])))}. `python benchmarks/real_tissue.py --page docs/validation`"
    ]
    return "\n".join(lines) + "\n"


def _score_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    titles = ("split", "slices", "seed", "epochs", "method", *FIGURES, "training (min)")
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for row in rows:
        scores = row["scores"]
        figures = [_figure(name, scores) for name in FIGURES]
        seconds = scores.get("training seconds")
        training = "" if seconds is None else f"{seconds / 60:.1f}"
        named = [str(row[name]) for name in ("split", "slices", "seed")]
        epochs = "" if row["method"] == "baseline" else str(row["epochs"])
        lines.append(f"| {' | '.join([*named, epochs, row['method'], *figures, training])} |")
    return lines


def _figure(name: str, scores: Mapping[str, float]) -> str:
    if name not in scores:
        return ""
    text = f"{scores[name]:.2f}"
    if name not in LIMITS:
        return text
    within = scores[name] <= LIMITS[name] if name == "VI" else scores[name] >= LIMITS[name]
    return f"**{text}**" if within else text


def _size_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    classes = [_range(one) for one in rows[0]["sizes"]]
    lines = [f"| split | slices | seed | {' | '.join(classes)} |", "|" + " --- |" * (3 + len(classes))]
    for row in rows:
        cells = [
            ""
            if not one["true_count"]
            else f"{one['recall']:.2f} / {one['f1']:.2f} ({one['true_count']:.0f})"
            for one in row["sizes"]
        ]
        lines.append(f"| {row['split']} | {row['slices']} | {row['seed']} | {' | '.join(cells)} |")
    return lines


def _range(one: Mapping[str, float | None]) -> str:
    low, high = one["volume_low_um3"], one["volume_high_um3"]
    return f"{low:g} µm³ and more" if high is None else f"{low:g} to {high:g} µm³"


def picture(
    image: NDArray[np.uint8], truth: NDArray[Any], found: Mapping[str, NDArray[Any]]
) -> NDArray[np.uint8]:
    """Draw planes xy and xz through the middle of a region: one column for each result."""
    grey = image.astype(np.float32) / 255
    middle = [n // 2 for n in image.shape]
    columns = []
    for labels in found.values():
        planes = [
            overlay(*(values[middle[0]] for values in (grey, truth, labels))),
            overlay(*(values[:, middle[1]] for values in (grey, truth, labels))),
        ]
        columns.append(
            np.concatenate([planes[0], np.full((8, *planes[0].shape[1:]), 255, np.uint8), planes[1]])
        )
    gap = np.full((len(columns[0]), 8, 3), 255, np.uint8)
    return np.concatenate([columns[0], gap, columns[1]], axis=1)

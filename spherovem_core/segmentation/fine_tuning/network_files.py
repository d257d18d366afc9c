"""Files of a fine-tuned network: weights, manifest, scores, losses and overlays."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.evaluation import as_document, without_nan
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice
from spherovem_core.segmentation.fine_tuning.scored_training import ScoredTraining
from spherovem_core.segmentation.overlays import as_png, overlay
from spherovem_core.store import (
    Layout,
    package_versions,
    read_json,
    write_json,
    write_table,
)
from spherovem_core.store.files import write_bytes
from spherovem_core.utils.digests import file_digest

WEIGHTS, MANIFEST = "weights.pt", "manifest.json"


def find_finished(folder: Path, digest: str) -> dict[str, Any] | None:
    """Return the manifest in a folder if it has this digest and its weights are whole, else None."""
    manifest = read_json(folder / MANIFEST)
    weights = folder / WEIGHTS
    if manifest is None or manifest.get("fingerprint") != digest or not weights.is_file():
        return None
    return manifest if file_digest(weights) == manifest["weights_digest"] else None


def write_network(
    layout: Layout, result: ScoredTraining, parameters: FineTuningParameters, manifest: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Replace the files of an earlier training; the manifest is deleted first and written last.

    Parameters
    ----------
    layout
        Layout of the folder.
    manifest
        First entries of the manifest, among them ``fingerprint``.

    Returns
    -------
    dict
        The whole manifest.
    dict
        PNG pictures of the held-out slices by their names.
    """
    folder = layout.folder
    (folder / MANIFEST).unlink(missing_ok=True)
    write_bytes(folder / WEIGHTS, result.weights)
    write_json(
        folder / "evaluation.json", {"before": as_document(result.before), "after": as_document(result.after)}
    )
    write_table(layout, "losses.parquet", _loss_table(result), manifest["fingerprint"])
    pictures = _draw_overlays(result)
    for name, picture in pictures.items():
        write_bytes(folder / "overlays" / f"{name}.png", picture)
    manifest = manifest | {
        "weights_digest": file_digest(folder / WEIGHTS),
        "parameters": parameters.model_dump(mode="json"),
        "training": [_describe(one) for one in result.slices.training],
        "choice": [_describe(one) for one in result.slices.choice],
        "held_out": [_describe(one) for one in result.slices.held_out],
        "chosen": result.chosen,
        "figures_before": without_nan(result.before.figures),
        "figures_after": without_nan(result.after.figures),
        "packages": package_versions(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest, pictures


def _loss_table(result: ScoredTraining) -> pd.DataFrame:
    """Return one row per epoch, with the scores of the epochs that have them."""
    columns = ["epoch", "training_loss", "choice_loss", "choice_f1"]
    return pd.DataFrame(result.rows, columns=columns).astype(dict.fromkeys(columns[1:], np.float64))


def _draw_overlays(result: ScoredTraining) -> dict[str, bytes]:
    return {
        one.name: as_png(overlay(one.image, one.labels, found))
        for one, found in zip(result.slices.held_out, result.found, strict=True)
    }


def _describe(one: LabelledSlice) -> dict[str, str]:
    names = ("image_digest", "labels_digest", "unknown_digest")
    return {"name": one.name, "plane": one.plane, **dict(zip(names, one.digests, strict=False))}

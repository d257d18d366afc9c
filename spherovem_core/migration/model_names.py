"""Folders of trained denoising models: their names in format 1 and today."""

import hashlib
from collections.abc import Mapping
from typing import Any

from spherovem_core.denoising.models import LOSS
from spherovem_core.migration.history import Digests
from spherovem_core.references import canonical_json, step_digest
from spherovem_core.steps.denoising import TRAINING_VERSION
from spherovem_core.store.files import read_json
from spherovem_core.store.layout import Layout

STEP = "n2v"


def new_model_names(layout: Layout, digests: Digests) -> dict[str, str]:
    """Return today's name of each model's folder, by its name in format 1.

    Both names are digests of the training's parameters and of the raw image. The record of the training holds the parameters,
    so that the model of a run that was killed before its first result is found as well. Folders without a sound record, and
    models of raw images that are no longer known, are left out; no run would find them.
    """
    names = {}
    for record in layout.models.glob(f"{STEP}-*/{LOSS}"):
        parameters = _training_parameters(read_json(record))
        if parameters is None:
            continue
        for old_raw, new_raw in digests.new.items():
            if record.parent.name == _old_name(parameters, old_raw):
                names[record.parent.name] = _new_name(parameters, new_raw)
    return names


def rename_models(layout: Layout, names: Mapping[str, str]) -> None:
    """Give the folders of models their names; those that have theirs already are left."""
    for old, new in names.items():
        if (layout.models / old).exists() and not (layout.models / new).exists():
            (layout.models / old).rename(layout.models / new)


def _training_parameters(record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    settings = (record or {}).get("settings")
    parameters = settings.get("parameters") if isinstance(settings, dict) else None
    return parameters if isinstance(parameters, dict) else None


def _old_name(parameters: Mapping[str, Any], raw: str) -> str:
    parts = "\n".join([STEP, str(TRAINING_VERSION), canonical_json(parameters), raw])
    return f"{STEP}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"


def _new_name(parameters: Mapping[str, Any], raw: str) -> str:
    return f"{STEP}-{step_digest(STEP, TRAINING_VERSION, parameters, [raw])[:16]}"

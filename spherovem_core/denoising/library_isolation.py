"""Isolation of CAREamics and Lightning: no console output, no warnings, unchanged global random state."""

import importlib
import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_CHATTY = ("lightning.pytorch", "lightning.fabric", "lightning", "careamics")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Suppress warnings and informational messages of the training libraries."""
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def import_quietly(module: str) -> Any:
    """Import a module of CAREamics or Lightning without their warnings about optional packages."""
    with quiet_libraries():
        return importlib.import_module(module)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the three generators that CAREamics draws from (torch, `numpy.random`, `random`) and restore their states after."""
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices)):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002

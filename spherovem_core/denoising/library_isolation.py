"""CAREamics and Lightning inside an unattended run: no console output, no warnings, no trace on global random state."""

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
    """Keep warnings and informational messages of the training libraries away from the caller."""
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
    """Import a module of CAREamics or Lightning; both warn on import about packages nobody needs here."""
    with quiet_libraries():
        return importlib.import_module(module)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, NumPy's old generator and `random`, which CAREamics draws from; put their states back afterwards."""
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

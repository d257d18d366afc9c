"""Files of weights that hold code: refused with one message, and no code is run."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spherovem_core.denoising.trained_model import load_model
from spherovem_core.errors import NetworkError
from spherovem_core.segmentation.fine_tuning.checkpoints import read_checkpoint
from spherovem_core.segmentation.merging_model import read_merging_model
from spherovem_core.segmentation.networks import load_network


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def zipped(path: Path, mark: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "hyper_parameters": Attack(mark)}, path)


def legacy(path: Path, mark: Path) -> None:
    torch.save({"W2": Attack(mark)}, path, _use_new_zipfile_serialization=False)


def plain_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Attack(mark)))


def torchscript(path: Path, mark: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(Attack(mark)))
        archive.writestr("x/constants.pkl", pickle.dumps(Attack(mark)))
        archive.writestr("x/version", "3\n")


MADE = [zipped, legacy, plain_pickle, torchscript]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", MADE)
def test_no_weights_run_code(make: Callable[[Path, Path], None], tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    network, denoising, training, merging, disguised = (
        tmp_path / name
        for name in ("network.pt", "model.ckpt", "training-x.pt", "x-merging.safetensors", "w.safetensors")
    )
    for path in (network, denoising, training, merging, disguised):
        make(path, mark)
    with pytest.raises(NetworkError):
        load_network(str(network), "cells", "cpu")
    with pytest.raises(NetworkError):
        load_network(str(disguised), "cells", "cpu")
    with pytest.raises(NetworkError):
        load_model(denoising, "cpu")
    with pytest.raises(NetworkError):
        read_merging_model(merging)
    assert read_checkpoint(training) == {}
    assert not mark.exists()


def test_the_attack_would_work(tmp_path: Path) -> None:
    """A plain load of the same file runs its code, so that the test above could fail."""
    zipped(tmp_path / "evil.pt", tmp_path / "owned")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "owned").is_dir()

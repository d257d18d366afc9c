"""The average of the weights: its window, and that it is what is validated and stored."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_denoising_training import CPU, NOISY, TINY

from spherovem_core.denoising import train_model, weight_averaging
from spherovem_core.denoising.trained_model import R2R
from spherovem_core.denoising.weight_averaging import STEPS, move_average


def averaged(values: np.ndarray) -> float:
    """Average values one by one, as weights after each step; the first is taken as it is."""
    average = torch.tensor(float(values[0]))
    for count, value in enumerate(values[1:], start=1):
        average = move_average(average, torch.tensor(float(value)), torch.tensor(count))
    return float(average)


def test_the_first_weights_are_forgotten_at_once_and_noise_is_averaged_over_100_steps() -> None:
    assert averaged(np.r_[1.0, np.zeros(50)]) < 1e-6
    steps = np.random.default_rng(1).standard_normal((200, 1000))
    # The variance of an exponential average over n steps is 1 / (2 n - 1) of that of a step.
    found = np.std([averaged(row) for row in steps])
    assert found == pytest.approx((2 * STEPS - 1) ** -0.5, rel=0.15)


def test_auto_stores_the_average_alone_and_other_algorithms_the_last_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_averaging, "move_average", lambda average, current, steps: average * 0)
    weights = {}
    for algorithm in ("auto", "n2v"):
        parameters = TINY.model_copy(update={"algorithm": algorithm, "patches_per_slice": 16})
        model = train_model(NOISY, tmp_path / algorithm, parameters, CPU)
        stored = torch.load(model.path, map_location="cpu", weights_only=True)
        assert not {"current_model_state", "averaging_state"} & stored.keys()
        named = stored["state_dict"].items()
        weights[algorithm] = max(float(value.abs().max()) for name, value in named if name.endswith("weight"))
        assert (model.algorithm == R2R) == (algorithm == "auto")
    assert weights["auto"] == 0
    assert weights["n2v"] > 0

"""Training of a network until its scores no longer rise, with the learning rate, epoch and threshold that fit best."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spherovem_core.errors import DeadlineError
from spherovem_core.execution import Progress
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.checkpoints import read_checkpoint, write_checkpoint
from spherovem_core.segmentation.fine_tuning.choice import (
    Score,
    candidates,
    choose_settings,
    first_settings,
    score_network,
)
from spherovem_core.segmentation.fine_tuning.dataset import SplitSlices
from spherovem_core.segmentation.fine_tuning.prediction import SectionSettings
from spherovem_core.segmentation.fine_tuning.recipes import Recipe, recipe_for
from spherovem_core.segmentation.fine_tuning.training import Trainer, section_tensors
from spherovem_core.segmentation.networks import load_network

TRIAL_FRACTION = 0.1
"""Epochs of a trial of one learning rate, of those of the training."""
SCORED_EPOCHS = 30
"""Epochs of a training after which the slices for choosing are scored, at most."""
PATIENCE = 1 / 3
"""Fraction of the epochs after which a training without a better score ends."""

Row = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """Outcome of a training.

    Attributes
    ----------
    weights
        State dict in float32.
    settings
        How its flows become objects.
    chosen
        Learning rate, epoch and settings, the score by which they were chosen, the candidates, and the recipe.
    rows
        Losses of each epoch, and scores of the slices for choosing where they were measured.
    """

    weights: dict[str, Any]
    settings: SectionSettings
    chosen: dict[str, Any]
    rows: list[Row]


def fine_tune(
    split: SplitSlices,
    parameters: FineTuningParameters,
    device: str,
    *,
    checkpoint: Path | None = None,
    show: Callable[[list[Row]], None] = lambda rows: None,
    progress: Progress = lambda done, total: None,
    timeout_s: float | None = None,
) -> Tuned:
    """Train a network on slices, and choose by others.

    A short training with each candidate finds the learning rate: the lowest loss wins. Then crops are drawn at random
    (`draw_crop`) for AdamW, whose rate rises and falls as a cosine; a compact network is the moving average of its weights.
    The epoch with the highest F1 on the slices for choosing wins; then they choose the settings by which its flows become
    objects. Without such slices the last epoch and the usual settings are taken.

    The same slices, parameters and starting weights give the same bits on one CPU thread, also after a kill.

    Parameters
    ----------
    split
        Its held-out slices are not touched.
    device
        ``cpu`` or ``cuda[:n]``.
    checkpoint
        File of the state after each epoch, from which the same call continues; None keeps none.
    show
        Called with all rows after new scores.
    progress
        Called with (finished, all) epochs, those of the trials among them.
    timeout_s
        Time limit of this call in seconds; None is no limit.

    Raises
    ------
    DeadlineError
        If the call passes its time limit.
    ParameterError
        If the crops do not suit the network, or the training diverges.
    """
    run = _Run(split, parameters, device, checkpoint, show, progress, timeout_s)
    weights = run.train()
    settings, chosen = run.choose()
    return Tuned(weights, settings, chosen, run.course.rows)


@dataclass
class _Course:
    """Course of a training, kept in its checkpoint."""

    trials: list[dict[str, float]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)

    @property
    def best_score(self) -> Score | None:
        return Score(self.best["f1"], self.best["loss"]) if self.best else None


class _Run:
    """One training: trials of learning rates, then epochs until the last one or until scores no longer rise."""

    def __init__(
        self,
        split: SplitSlices,
        parameters: FineTuningParameters,
        device: str,
        path: Path | None,
        show: Callable[[list[Row]], None],
        progress: Progress,
        timeout_s: float | None,
    ) -> None:
        self.split, self.parameters, self.device, self.path = split, parameters, device, path
        self.show, self.progress, self.timeout_s = show, progress, timeout_s
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.sections = section_tensors(split.training, parameters)
        network = load_network(parameters.network, parameters.kind, device)
        self.recipe: Recipe = recipe_for(network, split.training, parameters, can_choose=bool(split.choice))
        self.trial_epochs = max(1, round(TRIAL_FRACTION * self.recipe.epochs))
        self.course = _Course()
        self.best_weights: dict[str, Any] = {}
        self.rate = 0.0
        self.candidates = candidates(split.training, parameters)
        self.settings = first_settings(self.candidates)
        self.written_at, self.writing_s = time.monotonic(), 0.0

    def train(self) -> dict[str, Any]:
        """Train, or continue, and return the chosen weights."""
        kept = read_checkpoint(self.path)
        if kept:
            self.course = _Course(**kept["course"])
            self.best_weights = kept["best_weights"]
        self.rate = self._best_rate()
        trainer = self._trainer(self.rate, self.recipe.epochs)
        if "trainer" in kept:
            trainer.restore(kept["trainer"])
            logger.info("continuing after epoch %d of %d", trainer.epoch, self.recipe.epochs)
        every = max(1, self.recipe.epochs // SCORED_EPOCHS)
        while trainer.epoch < self.recipe.epochs and not self._is_over(trainer.epoch):
            row: Row = {"epoch": trainer.epoch + 1, "training_loss": trainer.run_epoch()}
            if self.split.choice and (trainer.epoch % every == 0 or trainer.epoch == self.recipe.epochs):
                row |= self._score(trainer)
            elif not self.split.choice and trainer.epoch == self.recipe.epochs:
                self.best_weights = _copied(trainer)
            self._note(row)
            self._keep(trainer)
            self.progress(self._trials_total() + trainer.epoch, self._epochs_total())
            self._check_deadline(trainer)
        return self.best_weights

    def choose(self) -> tuple[SectionSettings, dict[str, Any]]:
        """Choose the settings for the weights, and return what was chosen, by what, and from which candidates."""
        settings, f1, best = self.settings, None, self.course.best
        if self.split.choice:
            network = load_network(self.parameters.network, self.parameters.kind, self.device)
            network.load_state_dict(self.best_weights)
            settings, f1 = choose_settings(network, self.split.choice, self.parameters, self.candidates)
        return settings, {
            "learning_rate": self.rate,
            "epoch": int(best.get("epoch", self.recipe.epochs)),
            **asdict(settings),
            "f1": f1,
            "loss": best.get("loss"),
            "trials": self.course.trials,
            "candidates": {name: list(values) for name, values in self.candidates.items()},
            "recipe": asdict(self.recipe) | {"rates": list(self.recipe.rates)},
        }

    def _best_rate(self) -> float:
        """Train shortly with each candidate and return the one with the lowest loss."""
        rates = self.recipe.rates
        if len(rates) == 1:
            return rates[0]
        for number in range(len(self.course.trials), len(rates)):
            trainer = self._trainer(rates[number], self.trial_epochs)
            for epoch in range(self.trial_epochs):
                trainer.run_epoch()
                self.progress(number * self.trial_epochs + epoch + 1, self._epochs_total())
                self._check_deadline()
            score = score_network(trainer.average, self.split.choice, self.parameters, self.settings)
            self.course.trials.append({"learning_rate": rates[number], "f1": score.f1, "loss": score.loss})
            logger.info("trial of learning rate %g: loss %.4g, F1 %.3f", rates[number], score.loss, score.f1)
            self._write({})
        return min(self.course.trials, key=lambda trial: trial["loss"])["learning_rate"]

    def _trainer(self, rate: float, epochs: int) -> Trainer:
        network = load_network(self.parameters.network, self.parameters.kind, self.device)
        return Trainer(network, self.sections, self.parameters, self.recipe, rate, epochs)

    def _score(self, trainer: Trainer) -> Row:
        score = score_network(trainer.average, self.split.choice, self.parameters, self.settings)
        if score.beats(self.course.best_score):
            self.course.best = {
                "epoch": trainer.epoch,
                "f1": score.f1,
                "loss": score.loss,
            }
            self.best_weights = _copied(trainer)
        return {"choice_loss": score.loss, "choice_f1": score.f1}

    def _is_over(self, epoch: int) -> bool:
        """Return whether the scores have not risen for long; only where the number of epochs is ``auto``."""
        if self.parameters.epochs != "auto" or not self.course.best:
            return False
        return epoch - self.course.best["epoch"] >= PATIENCE * self.recipe.epochs

    def _note(self, row: Row) -> None:
        self.course.rows.append(row)
        logger.info(", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in row.items()))
        if "choice_f1" in row or row["epoch"] in (1, self.recipe.epochs):
            self.show(self.course.rows)

    def _write(self, more: dict[str, Any]) -> None:
        write_checkpoint(
            self.path, {"course": asdict(self.course), "best_weights": self.best_weights, **more}
        )

    def _keep(self, trainer: Trainer) -> None:
        """Write the state, unless writing would take more than a twentieth of the time."""
        began = time.monotonic()
        if began - self.written_at >= 20 * self.writing_s:
            self._write({"trainer": trainer.state()})
            self.written_at = time.monotonic()
            self.writing_s = self.written_at - began

    def _trials_total(self) -> int:
        return self.trial_epochs * len(self.recipe.rates) if len(self.recipe.rates) > 1 else 0

    def _epochs_total(self) -> int:
        return self._trials_total() + self.recipe.epochs

    def _check_deadline(self, trainer: Trainer | None = None) -> None:
        epoch = 0 if trainer is None else trainer.epoch
        if self.deadline is not None and epoch < self.recipe.epochs and time.monotonic() > self.deadline:
            if trainer is not None:
                self._write({"trainer": trainer.state()})
            raise DeadlineError(
                f"training passed its time limit of {self.timeout_s:g} s after {epoch} of {self.recipe.epochs} epochs; "
                "start it again to continue there, or raise stage_timeout_s"
            )


def _copied(trainer: Trainer) -> dict[str, Any]:
    return {name: value.detach().float().cpu().clone() if value.is_floating_point() else value.cpu().clone()
            for name, value in trainer.average.state_dict().items()}  # fmt: skip

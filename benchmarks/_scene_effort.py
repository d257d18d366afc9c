"""Effort and text of a page of scenes."""

from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from deployments.command_line.demo_run import DEMO_OVERRIDES
from deployments.run_parameters import build_parameters
from spherovem_core.parameters import PipelineParameters


@dataclass(frozen=True)
class Effort:
    """Effort of a page: seeds per scene, processes, and whether networks train an eighth as long."""

    seeds: Sequence[int]
    workers: int = 2
    quick: bool = False

    @property
    def parameters(self) -> PipelineParameters:
        """Default parameters with the demo's training of the denoising network: the default one takes minutes per scene."""
        return PipelineParameters(denoising=self.demo_parameters.denoising)

    @property
    def demo_parameters(self) -> PipelineParameters:
        """Parameters of the demo."""
        short = {"denoising": {"patches_per_slice": 4, "epochs": 4}} if self.quick else {}
        return build_parameters([DEMO_OVERRIDES, short])

    def says(self) -> str:
        """Describe the effort in a sentence."""
        seeds = ", ".join(map(str, self.seeds))
        return f"Seed{'s' if len(self.seeds) > 1 else ''} {seeds}; each figure is that of its worst seed."


@dataclass(frozen=True)
class ScenePage:
    """Text of a page, and what is beyond its limit on it."""

    text: str
    beyond: tuple[str, ...]


def gathered(name: str, futures: Sequence[Future[Any]]) -> list[Any]:
    """Wait for the seeds of a scene, and say which one is done."""
    found = [future.result() for future in futures]
    print(f"  {name}", flush=True)
    return found


def pool(effort: Effort) -> ProcessPoolExecutor:
    """Start the processes that compute scenes."""
    return ProcessPoolExecutor(effort.workers, mp_context=get_context("spawn"))

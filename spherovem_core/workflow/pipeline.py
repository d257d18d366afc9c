"""A sequence of steps: order and producers of outputs."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from spherovem_core.stages import STAGE_NAMES, StageName
from spherovem_core.workflow.outputs import Output
from spherovem_core.workflow.step import Step

if TYPE_CHECKING:
    from spherovem_core.report import Chapter

AnyStep = Step[Any]


class Pipeline:
    """Steps in the order in which they run.

    Parameters
    ----------
    steps
        Each comes after the steps whose outputs it reads, and stages keep their order.

    Raises
    ------
    ValueError
        If two steps share a name or an output, an input has no producer before it, or stages are out of order.
    """

    def __init__(self, steps: Sequence[AnyStep]) -> None:
        self.steps = tuple(steps)
        self._producers: dict[str, AnyStep] = {}
        self._by_name: dict[str, AnyStep] = {}
        for step in self.steps:
            if step.name in self._by_name:
                raise ValueError(f"two steps are named {step.name}; give each a name of its own")
            for wanted in step.inputs:
                if wanted.path not in self._producers:
                    raise ValueError(
                        f"step {step.name} reads {wanted.path}, which no step before it writes; put it after its producer"
                    )
            for output in step.outputs:
                if output.path in self._producers:
                    raise ValueError(
                        f"{output.path} is written by {self._producers[output.path].name} and {step.name}"
                    )
                self._producers[output.path] = step
            self._by_name[step.name] = step
        stages = [STAGE_NAMES.index(step.stage) for step in self.steps]
        if stages != sorted(stages):
            raise ValueError(f"steps are out of order; the order of stages is {', '.join(STAGE_NAMES)}")

    def step(self, name: str) -> AnyStep:
        """Return the step of a name; raises KeyError for another."""
        if name not in self._by_name:
            raise KeyError(f"no step is named {name}; known: {', '.join(self._by_name)}")
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def of_stages(self, stages: Collection[StageName]) -> tuple[AnyStep, ...]:
        """Return the steps of some stages, in order."""
        return tuple(step for step in self.steps if step.stage in stages)

    def producers(self, step: AnyStep) -> tuple[AnyStep, ...]:
        """Return the steps whose outputs a step reads, each once, in the order of its inputs."""
        if step.reads_everything:
            return self.steps[: self.steps.index(step)]
        return tuple(dict.fromkeys(self._producers[wanted.path] for wanted in step.inputs))

    def producer(self, output: Output) -> AnyStep:
        """Return the step that writes an output."""
        return self._producers[output.path]

    def chapters(self) -> list["Chapter"]:
        """Make the chapters of the report, in the order of the steps."""
        return [step.chapter() for step in self.steps if step.chapter is not None]

"""Failures of runs as the Prefect UI shows them: what to do first, the traceback folded away."""

import html
import logging
import re
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from spherovem_core.errors import SpheroVemError
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE
from spherovem_core.utils.remedies import remedy_first, split_remedy
from tasks.artifacts import artifact_key, show_markdown
from tasks.retries import is_device_out_of_memory

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

TOLD = "_told_by_spherovem"
"""Attribute of errors that the log of their run has."""

RUN_LOGGER = "prefect.flow_runs"
"""Prefect's logger of what runs log."""

LONGEST_MESSAGE = 6_000
"""Characters; the server stores the message with the state, and sends it in events and notifications."""

LONGEST_TRACEBACK = 40_000
"""Characters; of a longer one the end is shown, which names the error."""

MEMORY = (
    "give the run more memory, or fewer workers or smaller blocks (execution: workers, block_voxels), and retry it: finished "
    "parts are kept"
)
_MARKS = re.compile(r"[\\`*_{}\[\]#|~]")
"""Characters that mean something in markdown."""

UNFORESEEN = "retry the run once; if it fails again, report it with the traceback of its artifact {key}"


def with_remedy_first(run: Callable[P, R]) -> Callable[P, R]:
    """Make the function of a flow tell of its failures such that an operator reads what to do first.

    An error becomes an artifact. In a run of a deployment it also becomes a state whose message begins with the remedy, in place
    of Prefect's own, which begins with the type of the error, and the log has one line of it instead of its traceback.
    Elsewhere the error is raised as it is.
    """

    @wraps(run)
    def told(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return run(*arguments, **named)
        except Exception as error:
            key = _key()
            try:
                show_failure(error, key)
            except Exception:  # an error of the telling must not take the place of the error
                logger.warning("the failure is not shown as an artifact", exc_info=True)
            if not _is_of_a_deployment():
                raise
            return cast(R, _failed(error, key))

    return told


def failure_message(error: BaseException, key: str = "failure") -> str:
    """Return the message of a failed run.

    Parameters
    ----------
    key
        Key of the artifact that holds the traceback.
    """
    found = _shortened(str(error))
    if isinstance(error, SpheroVemError):
        return remedy_first(found)
    remedy = MEMORY if _is_out_of_memory(error) else UNFORESEEN.format(key=key)
    return f"{remedy[0].upper()}{remedy[1:]}. Found: {type(error).__name__}: {found}"


def failure_text(error: BaseException, message: str, ending: list[str]) -> str:
    """Return the failure in markdown.

    Parameters
    ----------
    message
        Message of the run.
    ending
        Lines of markdown on how to start again.
    """
    remedy, finding = split_remedy(_shortened(str(error))) if isinstance(error, SpheroVemError) else ("", "")
    if not remedy:
        remedy, _, finding = message.partition(". Found: ")
    steps = [note for note in getattr(error, "__notes__", []) if note.startswith("step ")]
    lines = [f"### {_escaped(remedy[:1].upper() + remedy[1:])}", ""]
    lines += [f"**Found**{f' in {steps[-1]}' if steps else ''}: {_escaped(finding)}", ""] if finding else []
    lines += ["Then *Retry* this run: finished steps and blocks are kept.", ""]
    return "\n".join([*lines, *(f"{line}\n" for line in ending), _folded(error)])


def show_failure(error: BaseException, key: str) -> None:
    """Show a failure as a markdown artifact."""
    show_markdown(key, failure_text(error, failure_message(error, key), _ending()), "What to do")


def _shortened(text: str) -> str:
    """Return a text whose middle is left out if it is long: its end often names the remedy."""
    half = LONGEST_MESSAGE // 2
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} … {text[-half:]}"


def _folded(error: BaseException) -> str:
    """Return the traceback as HTML that is folded away; an empty line would end it in markdown."""
    text = "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]
    lines = [html.escape(line, quote=False) for line in text.splitlines() if line.strip()]
    return "<details><summary>Traceback</summary><pre>" + "\n".join(lines) + "</pre></details>"


def _escaped(text: str) -> str:
    """Return a text that markdown shows as it is, with the lines that it has."""
    return "  \n".join(html.escape(_MARKS.sub(r"\\\g<0>", line), quote=False) for line in text.splitlines())


def _key() -> str:
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    return artifact_key(f"failure {run.name if run is not None else ''}")


def _is_of_a_deployment() -> bool:
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None


def _failed(error: Exception, key: str) -> Any:
    """Return the state of a failed run, and log its message."""
    from prefect import get_run_logger
    from prefect.states import Failed

    message = failure_message(error, key)
    # Prefect's engine would log this error again when the run has ended, with the traceback that is folded away.
    error.__dict__[TOLD] = True
    logging.getLogger(RUN_LOGGER).addFilter(_is_news)
    get_run_logger().error("%s\nThe traceback is in the artifact %s.", message, key)
    return Failed(data=error, message=message)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a record is about no error that was told before; one filter serves all runs of a process."""
    return not record.exc_info or TOLD not in getattr(record.exc_info[1], "__dict__", {})


def _ending() -> list[str]:
    """Return how to start a run of the pipeline with other parameters, if this is one."""
    from prefect.context import FlowRunContext

    from flows.run_links import start_again

    context = FlowRunContext.get()
    given = {} if context is None else context.parameters or {}
    acquisition, parameters = given.get("acquisition"), given.get("parameters")
    if not isinstance(acquisition, Acquisition) or not isinstance(parameters, PipelineParameters):
        return []
    return start_again(acquisition, parameters, given.get("roi") or WHOLE)


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or is_device_out_of_memory(error)

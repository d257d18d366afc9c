"""Names and order of the stages, at which a run can start and stop."""

from typing import Literal, get_args

from spherovem_core.errors import ParameterError

StageName = Literal[
    "ingest", "denoise", "register", "flows", "masks", "nanoparticles", "shape", "space", "output"
]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
FIRST_STAGE: StageName = "ingest"
LAST_STAGE: StageName = "output"


def stages_between(start_at: StageName, stop_after: StageName) -> tuple[StageName, ...]:
    """Stages of a run that starts at one stage and stops after another, both included.

    Raises
    ------
    ParameterError
        If the run would stop before it starts.
    """
    first, last = STAGE_NAMES.index(start_at), STAGE_NAMES.index(stop_after)
    if last < first:
        raise ParameterError(
            f"start_at is {start_at} and stop_after {stop_after}, which comes before it; "
            f"the order is {', '.join(STAGE_NAMES)}"
        )
    return STAGE_NAMES[first : last + 1]

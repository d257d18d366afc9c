"""Waiting for a server that is busy: time-outs and answers that pass are tried again within a budget."""

import time

import httpx

BUDGET_S = 60.0
"""Seconds for which a command tries a server that is busy, before it gives up."""
REQUEST_TIMEOUT_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 0.5, 5.0
PASSING = frozenset({408, 429, 502, 503, 504})
"""Status codes of a server that is starting, busy, or behind a proxy that does not reach it."""


def wait_for_answer(api_url: str, budget_s: float = BUDGET_S) -> None:
    """Wait until a server says that it is well, for as long as it is busy.

    An address at which nothing listens is not tried again.

    Parameters
    ----------
    api_url
        Address of the API, such as ``http://127.0.0.1:4200/api``.
    budget_s
        Seconds after which no further attempt begins; at least one is made.

    Raises
    ------
    httpx.HTTPError
        The last error, if it does not pass within the budget.
    """
    end, pause = time.monotonic() + budget_s, FIRST_PAUSE_S
    while True:
        try:
            httpx.get(f"{api_url}/health", timeout=REQUEST_TIMEOUT_S).raise_for_status()
            return
        except httpx.HTTPError as error:
            left = end - time.monotonic()
            if left <= 0 or not _may_pass(error):
                raise
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _may_pass(error: httpx.HTTPError) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in PASSING
    return isinstance(error, httpx.TimeoutException | httpx.ReadError | httpx.RemoteProtocolError)

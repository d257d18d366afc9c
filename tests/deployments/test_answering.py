"""A busy server is asked again within a budget; an address at which nothing listens is not."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
import yaml
from prefect.client import base
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from deployments.server import answering
from deployments.server.answering import wait_for_answer

ENVIRONMENT = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())["definitions"][
    "environment"
]
BUDGET_S = 254.0
"""Seconds that docs/operating.md states for runs."""


@contextmanager
def server_answering(codes: list[int]) -> Iterator[tuple[str, list[str]]]:
    """Serve these status codes, then the last one for ever; the paths that were asked for are listed."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(codes[min(len(asked), len(codes)) - 1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were made, none of which takes time."""
    made: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        made.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(answering.time, "sleep", sleep)
    monkeypatch.setattr(answering.time, "monotonic", lambda: clock[0])
    return made


def test_a_busy_server_is_asked_until_it_is_well(pauses: list[float]) -> None:
    with server_answering([503, 502, 429, 503, 200]) as (url, asked):
        wait_for_answer(url)
    assert asked == ["/api/health"] * 5
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_a_server_that_stays_busy_is_given_up_at_the_end_of_the_budget(pauses: list[float]) -> None:
    with server_answering([503]) as (url, _), pytest.raises(httpx.HTTPStatusError, match="503"):
        wait_for_answer(url, 30.0)
    assert sum(pauses) == pytest.approx(30.0)


@pytest.mark.parametrize("code", [401, 404, 500])
def test_an_answer_that_does_not_pass_is_final(code: int, pauses: list[float]) -> None:
    with server_answering([code]) as (url, asked), pytest.raises(httpx.HTTPStatusError):
        wait_for_answer(url)
    assert (len(asked), pauses) == (1, [])


def test_an_address_at_which_nothing_listens_is_final(pauses: list[float]) -> None:
    with pytest.raises(httpx.ConnectError):
        wait_for_answer("http://127.0.0.1:9/api")
    assert pauses == []


def test_the_client_of_a_run_retries_for_the_stated_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def ask() -> None:
        async with get_client() as client:
            await client.hello()

    monkeypatch.setattr(base.anyio, "sleep", sleep)
    monkeypatch.setattr(base, "clamped_poisson_interval", lambda seconds, factor: seconds)
    retries = int(ENVIRONMENT["PREFECT_CLIENT_MAX_RETRIES"])
    with server_answering([503]) as (url, asked):
        settings = {PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: retries}
        with temporary_settings(settings), pytest.raises(httpx.HTTPStatusError, match="503"):
            asyncio.run(ask())
    assert len(asked) == retries + 1
    # Prefect waits once more after the last attempt, for nothing.
    assert sum(waited[:-1]) == BUDGET_S

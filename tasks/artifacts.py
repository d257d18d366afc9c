"""Artifacts in the Prefect UI; a server that refuses them fails no run."""

import base64
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

logger = logging.getLogger(__name__)


def is_in_a_run() -> bool:
    """Return whether the caller is in a run of a flow or task; Prefect is not imported for it."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return TaskRunContext.get() is not None or FlowRunContext.get() is not None


def publish(create: Callable[..., Any], *arguments: Any) -> None:
    """Publish an artifact within a run; outside a run do nothing. Log an error of the server and go on."""
    if not is_in_a_run():
        return
    import httpx
    from prefect.exceptions import PrefectException

    try:
        create(*arguments)
    except (httpx.HTTPError, PrefectException, OSError, RuntimeError) as error:
        logger.debug("could not publish to the Prefect server: %s", error)


def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show rows as a table artifact."""

    def create() -> None:
        from prefect.artifacts import create_table_artifact

        create_table_artifact([dict(row) for row in rows], artifact_key(key), description)

    publish(create)


def show_figures(key: str, figures: Mapping[str, Any], description: str) -> None:
    """Show named values as a table artifact of two columns."""
    show_table(
        key, [{"figure": name, "value": _rounded(value)} for name, value in figures.items()], description
    )


def show_markdown(key: str, text: str, description: str) -> None:
    """Show a markdown text."""

    def create() -> None:
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(text, artifact_key(key), description)

    publish(create)


def show_picture(key: str, png: bytes, description: str) -> None:
    """Show a PNG picture, which the artifact holds as a data URI."""

    def create() -> None:
        from prefect.artifacts import create_image_artifact

        uri = "data:image/png;base64," + base64.b64encode(png).decode()
        create_image_artifact(image_url=uri, key=artifact_key(key), description=description)

    publish(create)


def artifact_key(key: str) -> str:
    """Reduce a key to what Prefect allows: lower-case letters, digits and dashes."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in key.lower()).split())


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value

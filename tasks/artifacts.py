"""What a stage shows of itself in the Prefect UI; none of it can make a run fail."""

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

logger = logging.getLogger("spherovem_core.artifacts")


def attempt(publish: Callable[..., Any], *arguments: Any) -> None:
    """Publish something within a task run; outside of one do nothing, and let an error pass with a note."""
    from prefect.context import FlowRunContext, TaskRunContext

    if TaskRunContext.get() is None and FlowRunContext.get() is None:
        return
    try:
        publish(*arguments)
    except Exception as error:
        logger.debug("could not publish to the Prefect server: %s", error)


def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show rows of figures as a table artifact."""
    from prefect.artifacts import create_table_artifact

    attempt(lambda: create_table_artifact([dict(row) for row in rows], _slug(key), description))


def show_figures(key: str, figures: Mapping[str, Any], description: str) -> None:
    """Show named figures as a table artifact of two columns."""
    show_table(
        key, [{"figure": name, "value": _rounded(value)} for name, value in figures.items()], description
    )


def show_markdown(key: str, text: str, description: str) -> None:
    """Show a text."""
    from prefect.artifacts import create_markdown_artifact

    attempt(lambda: create_markdown_artifact(text, _slug(key), description))


def show_picture(key: str, png: bytes, description: str) -> None:
    """Show a PNG picture, carried within the artifact itself."""
    from prefect.artifacts import create_image_artifact

    uri = "data:image/png;base64," + base64.b64encode(png).decode()
    attempt(lambda: create_image_artifact(image_url=uri, key=_slug(key), description=description))


def _slug(key: str) -> str:
    """Artifact keys may hold lower-case letters, digits and dashes alone."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in key.lower()).split())


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value

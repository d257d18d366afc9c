"""Pictures of earlier reports, found by what they show, so that only pictures of what changed are drawn and encoded again."""

import pickle
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import PIL
from markupsafe import Markup
from numpy.typing import NDArray

from spherovem_core.report.page import Panel

P = ParamSpec("P")

_memory: ContextVar["PictureMemory | None"] = ContextVar("pictures of earlier reports", default=None)


class PictureMemory:
    """Results of drawing by the digest of everything they are drawn from.

    Parameters
    ----------
    entries
        JSON values of earlier reports, all made by code of one `drawing_digest`.

    Attributes
    ----------
    used
        Digests that were asked for.
    drawn, taken_over
        Numbers of pictures that were drawn, and that were known.
    """

    def __init__(self, entries: MutableMapping[str, Any]) -> None:
        self.entries = entries
        self.used: set[str] = set()
        self.drawn = self.taken_over = 0


def drawing_digest() -> str:
    """Digest the code that draws, the modules of this package: pictures of another version are not taken over."""
    digest = blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def remembering_pictures(memory: PictureMemory) -> Iterator[None]:
    """Take pictures from a memory, and add those that are drawn, until the context is left."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def remembered(make: Callable[[], Any], name: str, *content: NDArray[Any] | str) -> Any:
    """Return ``make()``, or the same result of an earlier report.

    Parameters
    ----------
    make
        Draws a picture; returns a JSON value.
    name
        Kind of the picture.
    content
        Everything that the picture is drawn from, but the versions of matplotlib and Pillow.
    """
    memory = _memory.get()
    if memory is None:
        return make()
    digest = blake2b(f"{name} {matplotlib.__version__} {PIL.__version__}".encode(), digest_size=16)
    for part in content:
        if isinstance(part, str):
            digest.update(f"|{part}|".encode())
        else:
            digest.update(f"|{part.dtype.str} {part.shape}|".encode())
            digest.update(np.ascontiguousarray(part).data)
    key = digest.hexdigest()
    memory.used.add(key)
    if key in memory.entries:
        memory.taken_over += 1
        return memory.entries[key]
    memory.drawn += 1
    memory.entries[key] = made = make()
    return made


def remember_panel(draw: Callable[P, Panel]) -> Callable[P, Panel]:
    """Make a function that draws a panel from its arguments alone take it from the memory where it can.

    Arguments are compared by their pickled bytes: two that are equal may differ there, and the panel is drawn; two that differ
    never agree.
    """

    @wraps(draw)
    def remembering(*arguments: P.args, **options: P.kwargs) -> Panel:
        if _memory.get() is None:
            return draw(*arguments, **options)
        content = np.frombuffer(pickle.dumps((arguments, options)), np.uint8)

        def make() -> list[Any]:
            panel = draw(*arguments, **options)
            return [str(panel.markup), panel.width_px, panel.least_px]

        markup, width, least = remembered(make, f"{draw.__module__}.{draw.__qualname__}", content)
        return Panel(Markup(markup), width, least)

    return remembering

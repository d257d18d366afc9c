"""Pictures of arrays that may have been discarded."""

from collections.abc import Callable, Sequence

from spherovem_core.report.page import Picture
from spherovem_core.store.kept_parts import DiscardedPartError


def if_kept(draw: Callable[[], Sequence[Picture]], what: str) -> list[Picture]:
    """Draw pictures, or say in their place that what they show was discarded.

    What the report shows is kept when an array is discarded; a report of another version, or with larger images, may want more.

    Parameters
    ----------
    what
        Begin of the sentence, such as "Planes before registration".
    """
    try:
        return list(draw())
    except DiscardedPartError as error:
        return [Picture([], f"{what} cannot be shown: {error}.")]

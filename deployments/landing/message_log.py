"""Saying a thing once, however often it is found."""

import logging

logger = logging.getLogger("spherovem_core.landing")


class Saying:
    """Logs what is new about a subject."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def say(self, subject: str, text: str) -> None:
        """Log an error, unless this is what was said of the subject last."""
        if self._said.get(subject) != text:
            self._said[subject] = text
            logger.error("%s", text)

    def settled(self, subject: str, text: str = "") -> None:
        """What was said of the subject is over; `text` is logged if anything was said."""
        if self._said.pop(subject, None) is not None and text:
            logger.info("%s", text)

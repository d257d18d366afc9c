"""Log that repeats no message about the same subject."""

import logging

from deployments.landing.candidates import printable

logger = logging.getLogger(__name__)


class MessageLog:
    """Last error logged per subject.

    Scans repeat every few seconds: without this a server that is down would fill the log.
    """

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def log_error(self, subject: str, text: str) -> None:
        """Log an error, unless it is the last one logged about this subject."""
        if self._last.get(subject) != text:
            self._last[subject] = text
            logger.error("%s", printable(text))

    def log_resolved(self, subject: str, text: str = "") -> None:
        """Forget the error about a subject; log `text` if there was one."""
        if self._last.pop(subject, None) is not None and text:
            logger.info("%s", printable(text))

    def log_waiting(self, subject: str, text: str) -> None:
        """Log what a subject waits for, unless it is what was logged last about it."""
        if self._last.get(subject) != text:
            self._last[subject] = text
            logger.info("%s", printable(text))

"""Rate of work in progress, and the time that the rest will take."""

from collections import deque

WINDOW_S = 60.0


class ProgressRate:
    """Rate of the last minute of some work.

    A step back, or another total, begins a new phase, whose rate does not depend on the phase before.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._records: deque[tuple[float, int]] = deque()
        self.done = 0
        self.total = 0

    def note(self, done: int, total: int, now_s: float) -> None:
        """Record the pieces done and the time in seconds, of any monotonic clock."""
        if total != self.total or done < self.done:
            self._records.clear()
        self.done, self.total = done, total
        self._records.append((now_s, done))
        while len(self._records) > 2 and self._records[1][0] <= now_s - self._window_s:
            self._records.popleft()

    @property
    def rate_per_s(self) -> float | None:
        """Pieces per second; None before two records, or if nothing was done between them."""
        if len(self._records) < 2:
            return None
        (begin_s, begin), (end_s, end) = self._records[0], self._records[-1]
        return (end - begin) / (end_s - begin_s) if end > begin and end_s > begin_s else None

    @property
    def remaining_s(self) -> float | None:
        """Seconds for the rest at the present rate; None without a rate."""
        rate = self.rate_per_s
        return None if rate is None else (self.total - self.done) / rate


def describe_progress(progress: ProgressRate) -> str:
    """Describe progress, such as ``120 of 640, 3.1/s, 2 min 48 s left``."""
    parts = [f"{progress.done} of {progress.total}"]
    if progress.rate_per_s is not None and progress.remaining_s is not None:
        parts += [readable_rate(progress.rate_per_s), f"{readable_seconds(progress.remaining_s)} left"]
    return ", ".join(parts)


def readable_rate(rate_per_s: float) -> str:
    """Format a rate per second, minute or hour: the first of them that gives 1 or more."""
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if rate_per_s * seconds >= 1 or unit == "h":
            break
    value = rate_per_s * seconds
    return f"{value:.0f}/{unit}" if value >= 99.5 else f"{value:.2g}/{unit}"


def readable_seconds(seconds: float) -> str:
    """Format a duration, such as ``1 h 05 min``."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"

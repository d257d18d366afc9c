"""How fast work goes on, and how long the rest of it will take."""

from collections import deque

WINDOW_S = 60.0


class Pace:
    """Rate of the last minute, told from notes of what is done.

    A step back, or another total, begins a new phase, whose rate owes nothing to the one before.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._notes: deque[tuple[float, int]] = deque()
        self.done = 0
        self.total = 0

    def note(self, done: int, total: int, now_s: float) -> None:
        """Note how much is done at a time, in seconds of any clock that only rises."""
        if total != self.total or done < self.done:
            self._notes.clear()
        self.done, self.total = done, total
        self._notes.append((now_s, done))
        while len(self._notes) > 2 and self._notes[1][0] <= now_s - self._window_s:
            self._notes.popleft()

    @property
    def rate_per_s(self) -> float | None:
        """Pieces a second; None before two notes or where nothing has been done between them."""
        if len(self._notes) < 2:
            return None
        (begin_s, begin), (end_s, end) = self._notes[0], self._notes[-1]
        return (end - begin) / (end_s - begin_s) if end > begin and end_s > begin_s else None

    @property
    def left_s(self) -> float | None:
        """Seconds for the rest at the present rate; None where there is no rate."""
        rate = self.rate_per_s
        return None if rate is None else (self.total - self.done) / rate


def describe_pace(pace: Pace) -> str:
    """Such as ``120 of 640, 3.1/s, 2 min 48 s left``."""
    parts = [f"{pace.done} of {pace.total}"]
    if pace.rate_per_s is not None and pace.left_s is not None:
        parts += [readable_rate(pace.rate_per_s), f"{readable_seconds(pace.left_s)} left"]
    return ", ".join(parts)


def readable_rate(rate_per_s: float) -> str:
    """A rate for people: pieces a second, a minute or an hour, whichever gives a number of one or more."""
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if rate_per_s * seconds >= 1 or unit == "h":
            break
    value = rate_per_s * seconds
    return f"{value:.0f}/{unit}" if value >= 99.5 else f"{value:.2g}/{unit}"


def readable_seconds(seconds: float) -> str:
    """A time for people, such as ``1 h 05 min``."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"

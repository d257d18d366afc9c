"""Progress bars of running steps on a terminal."""

import threading
from collections.abc import Callable, Iterable, Mapping

from rich import get_console
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from spherovem_core.utils.progress_rate import ProgressRate, readable_rate, readable_seconds
from tasks.progress import Latest

REFRESHES_PER_S = 4
BAR_COLUMNS = 20


class PaceColumn(ProgressColumn):
    """Rate and time left of a step's present phase, such as ``3.1/s, 2 min 48 s left``."""

    def __init__(self, paces: Mapping[TaskID, ProgressRate]) -> None:
        self._paces = paces
        super().__init__()

    def render(self, task: Task) -> Text:
        """Format rate and time left; empty until a rate is known."""
        pace = self._paces.get(task.id)
        if pace is None or pace.rate_per_s is None or pace.remaining_s is None:
            return Text("")
        return Text(f"{readable_rate(pace.rate_per_s)}, {readable_seconds(pace.remaining_s)} left")


class ProgressBars:
    """One bar per running step, removed when the step is done; the log then says how long it took.

    Lines that are printed to standard output meanwhile appear above the bars.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._paces: dict[TaskID, ProgressRate] = {}
        self._running: dict[TaskID, Latest] = {}
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._bars = _Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_COLUMNS),
            MofNCompleteColumn(),
            PaceColumn(self._paces),
            console=console or get_console(),
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
        )
        self._bars.before_drawing = self._take_latest_figures

    def begin(self, title: str, latest: Latest) -> None:
        """Show a bar for a step; it moves to and fro until the total is known."""
        task = self._bars.add_task(title, total=None)
        with self._lock:
            self._tasks[title], self._paces[task] = task, ProgressRate()
            self._running[task] = latest
        self._bars.start()

    def end(self, title: str) -> None:
        """Remove the bar of a step."""
        with self._lock:
            task = self._tasks.pop(title)
            del self._running[task]
        # Stopping waits for the thread that draws, which may be waiting for the lock.
        if not self._tasks:
            self._bars.stop()
        self._bars.remove_task(task)

    def _take_latest_figures(self) -> None:
        with self._lock:
            for task, latest in self._running.items():
                figures = latest()
                if figures is not None:
                    done, total = figures
                    self._paces[task].note(done, total, self._bars.get_time())
                    self._bars.update(task, completed=done, total=total)


class _Bars(Progress):
    """Bars that take the latest figures each time they are drawn."""

    before_drawing: Callable[[], None] | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.before_drawing is not None:
            self.before_drawing()
        yield from super().get_renderables()

"""Tables and numbers as plain text."""

import io
import shutil
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

FigureRow = tuple[str, str | tuple[str, ...], str]
"""Title of a figure, its name or several names, and its unit."""

WIDTH_OF_A_FILE = 100_000


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Align rows under their titles, without borders or colours, so that each line can be found with grep.

    Cells are shortened to fit a terminal. A file or another program gets them whole.

    Parameters
    ----------
    titles, rows
        Text of each column; empty columns stay.
    right
        Numbers of the columns that are aligned right.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for column, title in enumerate(titles):
        table.add_column(_on_one_line(title), justify="right" if column in right else "left")
    for row in rows:
        table.add_row(*map(_on_one_line, row))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_A_FILE
    drawn = io.StringIO()
    Console(file=drawn, width=width, color_system=None, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


def figure_table(title: str, rows: Sequence[FigureRow], figures: Mapping[str, float]) -> str:
    """List figures under a title and a rule, between two empty lines."""
    cells = [[name, _figure(figures, key, unit)] for name, key, unit in rows]
    head, *lines = text_table([title, ""], cells, right=(1,)).splitlines()
    return "\n".join(["", head, "-" * max(map(len, lines)), *lines, ""])


def readable_bytes(count: int) -> str:
    """Format a number of bytes, such as ``1.5 GB``, in decimal units as disks are sold."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.3g} {unit}"


def _on_one_line(text: str) -> Text:
    """Return a cell that is shortened instead of wrapped; the widest columns give way first."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _figure(figures: Mapping[str, float], key: str | tuple[str, ...], unit: str) -> str:
    if isinstance(key, tuple):
        return ", ".join(f"{figures[name]:.0f}" for name in key)
    value = figures[key]
    if key.endswith("_count"):
        return f"{value:.0f}"
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.3f} {unit}".strip()

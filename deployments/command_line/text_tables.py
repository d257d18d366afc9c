"""Tables as lines of text: aligned, greppable, cut to the terminal's width only where there is a terminal."""

import shutil
import sys
from collections.abc import Sequence

CUT = "…"


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Lay rows out under their titles.

    Parameters
    ----------
    titles, rows
        Text of each column; empty columns stay.
    right
        Numbers of the columns that are set flush right.
    """
    cells = [list(titles), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = []
    for row in cells:
        aligned = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(fit(line) for line in lines)


def fit(line: str) -> str:
    """Cut a line to the terminal; leave it whole where the output goes to a file or another program."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else line[: width - 1] + CUT


def readable_bytes(count: int) -> str:
    """A number of bytes for people, such as ``1.5 GB``; decimal units, as disks are sold."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.3g} {unit}"

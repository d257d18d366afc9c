"""Accuracy on quick cases with known answers, written as the tables of the documentation.

    python benchmarks/validation.py [--out docs/validation] [--only shape] [--demo results/demo]

Ends with exit code 1 if a figure is beyond what is accepted. With `--demo`, the comparison with the truth that a demo left
in its tables becomes a table too. Long runs have scripts of their own; `docs/validation.md` names them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from _validation_cases import CHAPTERS, Chapter, Row

DOCS = Path(__file__).parents[1] / "docs" / "validation"


def chapter_page(chapter: Chapter, rows: Sequence[Row]) -> str:
    """A Markdown fragment: how the cases are made, and a line a case with every figure."""
    figures = list(dict.fromkeys(row.figure for row in rows))
    lines = [chapter.method, ""]
    if len(figures) > 1 and all(len(list(group)) == len(figures) for _, group in by_case(rows)):
        lines += wide_table(rows, figures)
    else:
        lines += long_table(rows)
    lines += ["", f"`python benchmarks/validation.py --only {chapter.name}`"]
    return "\n".join(lines) + "\n"


def by_case(rows: Sequence[Row]) -> Iterator[tuple[str, Iterator[Row]]]:
    """Rows of each case."""
    return groupby(rows, key=lambda row: row.case)


def wide_table(rows: Sequence[Row], figures: Sequence[str]) -> Iterator[str]:
    """One line a case, one column a figure, what is accepted in brackets."""
    yield "| case | " + " | ".join(figures) + " |"
    yield "|" + " --- |" * (1 + len(figures))
    for case, group in by_case(rows):
        yield f"| {case} | " + " | ".join(shown(row) for row in group) + " |"


def long_table(rows: Sequence[Row]) -> Iterator[str]:
    """One line a figure."""
    yield "| case | figure | measured (accepted) |"
    yield "| --- | --- | --- |"
    for row in rows:
        yield f"| {row.case} | {row.figure} | {shown(row)} |"


def shown(row: Row) -> str:
    """What was measured, and what is accepted in brackets."""
    sign = "≥" if row.score else "≤"
    return f"{row.form.format(row.measured)} ({sign} {row.accepted:g})"


def demo_page(folder: Path) -> str:
    """The demo's comparison with its truth as a Markdown fragment."""
    from deployments.command_line.comparison_table import format_comparison

    figures = json.loads((folder / "tables" / "comparison.json").read_text())
    figures = {name: float("nan") if value is None else value for name, value in figures.items()}
    return f"```text\n{format_comparison(figures).strip()}\n```\n\n`make demo`\n"


def write(out: Path, name: str, text: str) -> None:
    """Write a fragment."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text)
    print(f"{out / name}.md", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--only", choices=[chapter.name for chapter in CHAPTERS], action="append")
    parser.add_argument("--demo", type=Path, help="results folder of a demo")
    options = parser.parse_args(arguments)
    beyond: list[Row] = []
    for chapter in CHAPTERS:
        if options.only is None or chapter.name in options.only:
            rows = list(chapter.rows())
            beyond += [row for row in rows if not row.good]
            write(options.out, chapter.name, chapter_page(chapter, rows))
    if options.demo is not None:
        write(options.out, "demo", demo_page(options.demo))
    for row in beyond:
        print(f"beyond what is accepted: {row.case}, {row.figure}: {shown(row)}")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())

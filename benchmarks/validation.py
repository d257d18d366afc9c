"""Write the accuracy tables of the documentation from cases with known answers.

    python benchmarks/validation.py [--out docs/validation] [--only shape scenes] [--quick] [--seeds 101 102] [--workers 2]
    python benchmarks/validation.py --demo results/demo

The tables of the stages take few minutes. Those of scenes run the nanoparticles method (`unkind`), the pipeline (`scenes`),
denoising (`noise`) and all stages (`cells`) on unkind images, and show the worst of several seeds; `--quick` computes them alone,
from one seed and with a network that trains an eighth as long. The exit code is 1 if a figure exceeds its limit. With `--demo`,
the comparison of a demo with its truth becomes a table as well. Longer runs have scripts of their own, which
`docs/validation.md` names.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from _scene_pages import PAGES, Effort
from _validation_cases import STAGES, Row, StageCases

# Development used seeds below 100.
SEEDS = (101, 102, 103)
DOCS = Path(__file__).parents[1] / "docs" / "validation"


def stage_page(stage: StageCases, rows: Sequence[Row]) -> str:
    """Write a Markdown fragment: how the cases are made, and a table of every figure of every case."""
    figures = list(dict.fromkeys(row.figure for row in rows))
    lines = [stage.method, ""]
    if len(figures) > 1 and all(len(list(group)) == len(figures) for _, group in by_case(rows)):
        lines += wide_table(rows, figures)
    else:
        lines += long_table(rows)
    lines += ["", f"`python benchmarks/validation.py --only {stage.name}`"]
    return "\n".join(lines) + "\n"


def by_case(rows: Sequence[Row]) -> Iterator[tuple[str, Iterator[Row]]]:
    """Group rows by case."""
    return groupby(rows, key=lambda row: row.case)


def wide_table(rows: Sequence[Row], figures: Sequence[str]) -> Iterator[str]:
    """Write one line per case and one column per figure, with its limit in brackets."""
    yield "| case | " + " | ".join(figures) + " |"
    yield "|" + " --- |" * (1 + len(figures))
    for case, group in by_case(rows):
        yield f"| {case} | " + " | ".join(shown(row) for row in group) + " |"


def long_table(rows: Sequence[Row]) -> Iterator[str]:
    """Write one line per figure."""
    yield "| case | figure | measured (accepted) |"
    yield "| --- | --- | --- |"
    for row in rows:
        yield f"| {row.case} | {row.figure} | {shown(row)} |"


def shown(row: Row) -> str:
    """Format a figure, with its limit in brackets."""
    sign = "≥" if row.score else "≤"
    return f"{row.form.format(row.measured)} ({sign} {row.accepted:g})"


def demo_page(folder: Path) -> str:
    """Write the comparison of a demo with its truth as a Markdown fragment."""
    from deployments.command_line.comparison_table import format_comparison

    figures = json.loads((folder / "tables" / "comparison.json").read_text())
    figures = {name: float("nan") if value is None else value for name, value in figures.items()}
    return f"```text\n{format_comparison(figures).strip()}\n```\n\n`make demo`\n"


def write(out: Path, name: str, text: str) -> None:
    """Write a fragment to a file."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text)
    print(f"{out / name}.md", flush=True)


def main(arguments: Sequence[str] | None = None, stages: Sequence[StageCases] = STAGES) -> int:
    """Parse the command line, measure and write the tables; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--only", choices=[*(stage.name for stage in stages), *PAGES], nargs="+")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="pages of scenes alone, with one seed and a network that trains an eighth as long",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="seeds of each scene; by default 101 102 103, or 101 with --quick",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that compute scenes")
    parser.add_argument("--demo", type=Path, help="results folder of a demo")
    options = parser.parse_args(arguments)
    names = [stage.name for stage in stages if not options.quick] + [*PAGES] * (stages is STAGES)
    beyond: list[str] = []
    for stage in stages:
        if stage.name in (options.only or names):
            rows = list(stage.rows())
            beyond += [f"{row.case}, {row.figure}: {shown(row)}" for row in rows if not row.good]
            write(options.out, stage.name, stage_page(stage, rows))
    seeds = options.seeds or (SEEDS[:1] if options.quick else SEEDS)
    for name, make in PAGES.items():
        if name in (options.only or names):
            page = make(Effort(seeds, options.workers, options.quick))
            beyond += page.beyond
            write(options.out, name, page.text)
    if options.demo is not None:
        write(options.out, "demo", demo_page(options.demo))
    for line in beyond:
        print(f"exceeds its limit: {line}")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())

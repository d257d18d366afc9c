"""Registration of stacks whose true motion is known: everything that a stage as users run it has to get right.

    python benchmarks/registration_truth.py [--parts NAME ...] [--quick] [--seeds 1 2] [--page docs/validation]

Each part prints its cases with the error found and its limit, the worst case last, and adds to the count of cases beyond
their limit. The exit code is 1 if there is any. Parts lie in modules `_registration_truth_<part>.py`; each has a function
``run(quick, seeds)`` that returns the number of cases beyond their limit. With `--page`, what the parts print is kept in a
folder as fragments of the documentation, one file a part, which `geometry.md` there puts together: parts can be run one by one.
"""

import argparse
import ast
import contextlib
import importlib
import io
import re
from collections.abc import Sequence
from pathlib import Path

PREFIX = "_registration_truth_"


def parts() -> list[str]:
    """Name the parts, which are the modules beside this file."""
    return sorted(path.stem.removeprefix(PREFIX) for path in Path(__file__).parent.glob(f"{PREFIX}*.py"))


def run_part(part: str, quick: bool, seeds: Sequence[int]) -> tuple[int, str]:
    """Run a part; return the number of cases beyond their limit and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        beyond = importlib.import_module(PREFIX + part).run(quick, list(seeds))
    return beyond, printed.getvalue()


def fragment(part: str, beyond: int, printed: str, command: str) -> str:
    """Write what a part printed as a Markdown fragment: its method, its cases and how many are beyond their limit."""
    source = (Path(__file__).parent / f"{PREFIX}{part}.py").read_text()
    text = re.sub(r"^Part [^:]*: ", "", ast.get_docstring(ast.parse(source)) or "")
    method = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    count = f"{beyond} of the figures are beyond their limit" if beyond else "No figure is beyond its limit"
    size = " Cases are few and small (`--quick`)." if "--quick" in command else ""
    return (
        f"#### {part.capitalize()}\n\n{method[:1].upper()}{method[1:]}\n\n"
        f"{count}; the worst of each list comes last.{size}\n\n"
        f"```text\n{printed.strip()}\n```\n\n`{command}`\n"
    )


def write_page(folder: Path) -> None:
    """Put the fragments of all parts that were run together, and name those that were not."""
    kept = [part for part in parts() if (folder / "geometry" / f"{part}.md").is_file()]
    absent = [part for part in parts() if part not in kept]
    texts = [(folder / "geometry" / f"{part}.md").read_text() for part in kept]
    if absent:
        texts.append(f"Parts that this page does not show: {', '.join(absent)}.\n")
    (folder / "geometry.md").write_text("\n".join(texts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=parts(), default=parts(), help="parts to run")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--seeds", nargs="+", type=int, default=[101], help="seeds of the random cases")
    parser.add_argument("--page", type=Path, help="folder of the documentation that keeps what is printed")
    options = parser.parse_args()
    beyond = 0
    for part in options.parts:
        print(f"## {part}", flush=True)
        found, printed = run_part(part, options.quick, options.seeds)
        print(printed, end="", flush=True)
        beyond += found
        if options.page is not None:
            seeds = " ".join(map(str, options.seeds))
            quick = " --quick" if options.quick else ""
            command = f"python benchmarks/registration_truth.py --parts {part}{quick} --seeds {seeds}"
            (options.page / "geometry").mkdir(parents=True, exist_ok=True)
            (options.page / "geometry" / f"{part}.md").write_text(fragment(part, found, printed, command))
            write_page(options.page)
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()

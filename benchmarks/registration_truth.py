"""Registration of stacks whose true motion is known: everything that a stage as users run it has to get right.

    python benchmarks/registration_truth.py [--parts NAME ...] [--quick] [--seeds 1 2]

Each part prints its cases with the error found and its limit, the worst case last, and adds to the count of cases beyond
their limit. The exit code is 1 if there is any. Parts lie in modules `_registration_truth_<part>.py`; each has a function
``run(quick, seeds)`` that returns the number of cases beyond their limit.
"""

import argparse
import importlib
from pathlib import Path

PREFIX = "_registration_truth_"


def parts() -> list[str]:
    """Name the parts, which are the modules beside this file."""
    return sorted(path.stem.removeprefix(PREFIX) for path in Path(__file__).parent.glob(f"{PREFIX}*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=parts(), default=parts(), help="parts to run")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--seeds", nargs="+", type=int, default=[101], help="seeds of the random cases")
    options = parser.parse_args()
    beyond = 0
    for part in options.parts:
        print(f"## {part}", flush=True)
        beyond += importlib.import_module(PREFIX + part).run(options.quick, options.seeds)
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()

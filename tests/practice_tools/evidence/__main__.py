"""Measures what docs/evidence.md states: `make evidence`, or `PYTHONPATH=tests python -m practice_tools.evidence`.

    --row NAME      the rows whose name, as it stands in the tables, has NAME in it
    --group NAME    one group of rows; without it all but "cycles" and "long cycles", which take an hour or more
    --first-seed N  other seeds than those of the page: an independent repetition
    --choose        measures the best rates anew in place of those that are stored in rates.json
    --short         few seeds of each row
    --write         chooses the rates, and writes the tables and plots of docs/evidence.md

Every training runs on the practice host with the hooks on it. Results are kept in build/evidence/results.jsonl as they come: a
run that was broken off resumes where it was. A row has the same result for the same seeds on the same machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .measuring import LONGER, Evidence
from .results import Results

FOLDER = Path(__file__).parents[3] / "build" / "evidence"


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the command line."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.write and (args.short or args.first_seed is not None):
        parser.error("--write: the page is of all its own seeds; leave out --short and --first-seed")
    args.out.mkdir(parents=True, exist_ok=True)
    choose = args.choose or args.write
    results = Results(args.out / "results.jsonl")
    evidence = Evidence(results, args.processes, choose=choose, first_seed=args.first_seed, short=args.short)
    groups = evidence.groups()
    names = [args.group] if args.group else [name for name in groups if name not in LONGER]
    wanted = [row for name in names for row in groups[name]() if not args.row or args.row in row.name]
    if not wanted:
        print(f"no row has {args.row!r} in its name; the names are in docs/evidence.md", file=sys.stderr)
        return 2
    evidence.run(wanted)
    for row in wanted:
        print(evidence.told(row))
    if args.write:
        from . import page

        for name in page.write(evidence):
            print(f"not measured to its end: {name}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(prog="practice_tools.evidence", description=__doc__, formatter_class=form)
    parser.add_argument("--row", default="")
    parser.add_argument("--group", default="", choices=["", "choosing", "schedules", "same rate", "options", "finder", *LONGER])
    parser.add_argument("--first-seed", type=int)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=FOLDER)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""``python -m topokd.experiments.study work|status|answer``: see docs/study.md."""

from __future__ import annotations

import argparse
import logging
import sys

from topokd.errors import TopokdError
from topokd.experiments.study.answer import answer, answer_path
from topokd.experiments.study.plan import read_plan
from topokd.experiments.study.runner import Study
from topokd.io import write_json


def main() -> int:
    """Run one subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m topokd.experiments.study", description=__doc__)
    parser.add_argument("command", choices=("work", "status", "answer"))
    parser.add_argument("--plan", default="study/plan.yaml", help="the protocol")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        plan, params = read_plan(given.plan)
        study = Study(plan, params)
        if given.command == "work":
            study.work()
        elif given.command == "status":
            sys.stdout.write(study.status())
        else:
            write_json(answer_path(params.profile), answer(study))
    except TopokdError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m topokd.experiments.dose work|status|answer``: see docs/study.md."""

from __future__ import annotations

import argparse
import logging
import sys

from topokd.errors import TopokdError
from topokd.experiments.dose.answer import answer
from topokd.experiments.dose.plan import read_dose_plan
from topokd.experiments.dose.runner import Dose
from topokd.experiments.study.answer import answer_path
from topokd.io import write_json


def main() -> int:
    """Run one subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m topokd.experiments.dose", description=__doc__)
    parser.add_argument("command", choices=("work", "status", "answer"))
    parser.add_argument("--plan", default="study/dose.yaml", help="the protocol")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        plan, params = read_dose_plan(given.plan)
        dose = Dose(plan, params)
        if given.command == "work":
            dose.work()
        elif given.command == "status":
            sys.stdout.write(dose.status())
        else:
            found = answer(plan, params, dose.records())
            write_json(answer_path(params.profile), found)
            sys.stdout.write(f"{found['sentence']}\n")
    except TopokdError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m topokd.experiments.dose work|status|answer``: see docs/study.md."""

from __future__ import annotations

import sys

from topokd.experiments.dose.answer import answer
from topokd.experiments.dose.plan import read_dose_plan
from topokd.experiments.dose.runner import Dose
from topokd.experiments.study.answer import answer_path
from topokd.experiments.work import run_command
from topokd.io import write_json


def main() -> int:
    """Run one subcommand; returns the exit status."""
    return run_command("topokd.experiments.dose", "study/dose.yaml", lambda plan: Dose(*read_dose_plan(plan)), _answer)


def _answer(dose: Dose) -> str:
    result = answer(dose.plan, dose.params, dose.records())
    write_json(answer_path(dose.params.profile), result)
    return str(result["sentence"])


if __name__ == "__main__":
    sys.exit(main())

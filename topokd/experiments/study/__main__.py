"""``python -m topokd.experiments.study work|status|answer``: see docs/study.md."""

from __future__ import annotations

import sys

from topokd.experiments.study.answer import answer, answer_path
from topokd.experiments.study.plan import read_plan
from topokd.experiments.study.runner import Study
from topokd.experiments.work import run_command
from topokd.io import write_json


def main() -> int:
    """Run one subcommand; returns the exit status."""
    return run_command("topokd.experiments.study", "study/plan.yaml", lambda plan: Study(*read_plan(plan)), _answer)


def _answer(study: Study) -> str:
    file = answer_path(study.params.profile)
    write_json(file, answer(study))
    return f"wrote {file}"


if __name__ == "__main__":
    sys.exit(main())

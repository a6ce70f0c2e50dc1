"""One rank of a run, started by `topokd.training.launch`: ``python -m topokd.training FOLDER ROW SEED BY_HAND``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from topokd import params as P
from topokd.errors import TopokdError
from topokd.io import write_json
from topokd.project import TEACHER
from topokd.stopping import die_with_parent
from topokd.training import train_student, train_teacher


def main(folder: Path, row: str, seed: int, by_hand: bool) -> int:
    """Train; an error is noted in the folder for the process that started the ranks.

    Args:
        folder: With the parameters, and for the error.
        row: A row of the ablation, or ``teacher``.
        seed: Of the run.
        by_hand: Whether results are written below ``workspace/by-hand``.
    """
    die_with_parent()
    rank = os.environ["RANK"]
    logging.basicConfig(level=logging.INFO if rank == "0" else logging.ERROR, format="%(levelname)s %(message)s")
    try:
        params = P.load(folder / "params.yaml", save=not by_hand)
        if row == TEACHER:
            train_teacher(params, seed)
        else:
            train_student(params, row, seed)
    except Exception as error:
        write_json(folder / f"error-{rank}.json", {"kind": type(error).__name__, "message": str(error)})
        if not isinstance(error, TopokdError):
            raise
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1"))

"""One rank of a run: ``python -m topokd.training FOLDER ROW SEED BY_HAND``.

`topokd.training.launch` starts it here, or by srun on several nodes.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from topokd import params as P
from topokd.errors import ParameterError, TopokdError
from topokd.io import write_json
from topokd.project import LAUNCHER, TEACHER
from topokd.stopping import Stopped, die_with_parent
from topokd.training import train_student, train_teacher
from topokd.training.distributed import ProcessRank, place


def main(folder: Path, row: str, seed: int, by_hand: bool) -> int:
    """Train; an error is noted in the folder for the process that started the ranks.

    Args:
        folder: with the parameters, and for the error.
        row: a row of the ablation, or ``teacher``.
        seed: seed of the run.
        by_hand: whether results are written below ``workspace/by-hand``.
    """
    die_with_parent()
    here = place() or ProcessRank(rank=0, size=1, local=0)
    if here.rank > 0:  # one rank reports progress, in a file that other nodes do not have
        os.environ["TOPOKD_PROGRESS"] = str(folder / f"progress-{here.rank}")
    logging.basicConfig(level=logging.ERROR if here.rank else logging.INFO, format="%(levelname)s %(message)s")
    try:
        params = P.load(folder / "params.yaml", save=not by_hand)
        if LAUNCHER in os.environ and here.size != params.train.ranks:
            raise ParameterError(
                f"{here.size} ranks were started, but train.ranks is {params.train.ranks}: if it was changed after "
                "`topokd slurm submit`, cancel the job and submit it again"
            )
        if row == TEACHER:
            train_teacher(params, seed)
        else:
            train_student(params, row, seed)
    except Exception as error:
        write_json(folder / f"error-{here.rank}.json", {"kind": type(error).__name__, "message": str(error)})
        if isinstance(error, Stopped) and LAUNCHER in os.environ:
            return 0  # any other status makes srun kill the ranks that are still saving
        if not isinstance(error, TopokdError):
            raise
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1"))

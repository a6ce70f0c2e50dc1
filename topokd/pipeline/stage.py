"""Run one stage of the pipeline while others run, on one machine or on many that share the project's folder.

``dvc repro -s STAGE`` acquires DVC's lock when the command has ended, and fails if it is not free within three seconds;
the work of the stage is then lost. `run_stage` does the same in three steps:

1. with the lock: see whether the stage changed; remove its old outputs; note the state of its dependencies;
2. without it: run the stage's command, which may take days;
3. with the lock: compare the dependencies, put the outputs into the cache and write dvc.lock.

DVC's run cache is not used: it does not support stages with outputs in git, like most of ours.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from topokd.locks import locked
from topokd.pipeline.repository import PATIENCE, StageError, with_lock
from topokd.project import project_path, project_root
from topokd.stopping import INTERRUPTED, TERMINATED, die_with_parent

log = logging.getLogger(__name__)


def run_stage(address: str, force: bool = False, patience: float = PATIENCE) -> int:
    """Run one stage after its dependencies and record its result in dvc.lock.

    SIGTERM and SIGUSR1 are forwarded to the command: training then saves its state and stops. While no command is
    running, SIGTERM ends the stage, and SIGUSR1 is held back for the command. Ctrl-C reaches the command by itself.

    If two processes run the same stage, the second waits for the first and then finds nothing to do.

    Args:
        address: address in DVC's form: ``student@default-full-0``.
        force: whether to run it even if nothing changed.
        patience: seconds to wait for DVC's lock, before and after the command.

    Returns:
        Exit status of the command; 0 also if nothing changed.

    Raises:
        StageError: the stage does not exist, a dependency is missing or changed during the run, or an output was not
            written.
    """
    with _SignalsFor() as signals, _one_at_a_time(address):
        prepared = with_lock(lambda repo: _prepare(repo, address, force), patience)
        if prepared is None:
            print(f"Stage '{address}' didn't change, skipping", flush=True)
            return 0
        print(f"Running stage '{address}':\n> {prepared.command}", flush=True)
        status = _run_command(prepared.command, prepared.variables, signals)
        if status == 0:
            with_lock(lambda repo: _record(repo, address, prepared.dependencies, signals), patience)
        return status


class _Prepared(NamedTuple):
    command: str
    variables: dict[str, str]
    dependencies: dict[str, Any]  # hash of each


def _prepare(repo: Any, address: str, force: bool) -> _Prepared | None:
    """Remove the old outputs of a stage and note its dependencies; None if nothing changed."""
    stage = _find(repo, address)
    if not force and not stage.changed():
        return None
    missing = [str(dependency) for dependency in stage.deps if not dependency.exists]
    if missing:
        raise StageError(f"{address}: {', '.join(missing)} does not exist; run the stage that writes it first")
    stage.save_deps()
    stage.remove_outs(ignore_remove=False, force=False)
    command = "\n".join(stage.cmd) if isinstance(stage.cmd, list) else stage.cmd
    return _Prepared(command, {"DVC_ROOT": str(repo.root_dir), "DVC_STAGE": stage.addressing}, _hashes(stage))


def _record(repo: Any, address: str, before: dict[str, Any], signals: _SignalsFor) -> None:
    """Put the outputs of a stage into the cache and write dvc.lock, whatever signals arrive meanwhile."""
    stage = _find(repo, address)
    absent = [str(out) for out in stage.outs if not out.exists]
    if absent:
        raise StageError(f"{address}: its command succeeded but did not write {', '.join(absent)}")
    with repo.scm_context(quiet=True):
        stage.save(run_cache=False)
        changed = [name for name, value in _hashes(stage).items() if before.get(name) != value]
        if changed:
            raise StageError(f"{address}: {', '.join(changed)} changed while it ran; run it again")
        stage.commit()
        with signals.held():
            stage.dump(update_pipeline=False)


def _find(repo: Any, address: str) -> Any:
    from dvc.exceptions import DvcException

    try:
        (stage,) = repo.stage.collect(f"{repo.root_dir}{os.sep}dvc.yaml:{address}")
    except (DvcException, ValueError) as error:
        raise StageError(f"{address} is not a stage of dvc.yaml: `topokd stages` lists them ({error})") from error
    return stage


def _hashes(stage: Any) -> dict[str, Any]:
    """State of each dependency, parameters included."""
    return {str(dependency): dependency.hash_info.value for dependency in stage.deps}


@contextlib.contextmanager
def _one_at_a_time(address: str) -> Iterator[None]:
    """Hold the lock of a stage, which the system releases if the process dies."""
    file = project_path(".dvc/tmp/topokd") / f"{address.replace(os.sep, '-')}.lock"
    with locked(file, lambda: print(f"another process runs {address}: waiting for its result", flush=True)):
        yield


class _SignalsFor:
    """Forwards SIGTERM and SIGUSR1 to the ``process`` of a stage while it runs, and ignores Ctrl-C.

    It works in the main thread only.

    Examples:
        >>> with _SignalsFor() as signals, signals.held():
        ...     signal.raise_signal(signal.SIGTERM)
        ...     print("written to the end")
        written to the end
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.waiting = False  # SIGUSR1 arrived before the process started
        self._held = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _SignalsFor:
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
            self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Ignore signals in a short block: the result of the stage, which may have taken days, is recorded first."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._held:
            return
        if self.process is not None:
            if number != signal.SIGINT:  # the terminal has sent it to the command too
                self.process.send_signal(number)
        elif number in (signal.SIGTERM, signal.SIGINT):
            raise SystemExit(TERMINATED if number == signal.SIGTERM else INTERRUPTED)
        else:
            self.waiting = True


def _run_command(command: str, variables: dict[str, str], signals: _SignalsFor) -> int:
    """Run a shell command; returns its exit status, 128 + n if signal n killed it."""
    process = subprocess.Popen(
        ["/bin/sh", "-ec", command], cwd=project_root(), env={**environment(), **variables},
        stdin=subprocess.DEVNULL, preexec_fn=_prepare_child,
    )  # fmt: skip
    signals.process = process
    try:
        if signals.waiting:
            process.send_signal(signal.SIGUSR1)
        status = process.wait()
    finally:
        signals.process = None
        if process.poll() is None:
            process.terminate()
    return status if status >= 0 else 128 - status


def _prepare_child() -> None:
    """Ignore SIGUSR1 until the command installs its handler; by default the signal would kill it."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    die_with_parent()


def environment() -> dict[str, str]:
    """The environment with this interpreter's folder first on PATH, so that stages find ``topokd``."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}

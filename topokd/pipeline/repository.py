"""Opens DVC's repository of the project, and takes its lock with enough retries for hundreds of stages.

A stage of this pipeline holds DVC's lock twice for about a second: before its command, to see what changed, and after
it, to record the result (`topokd.pipeline.stage`). When 200 stages end together, the last one waits for the 199 others,
so a stage waits for up to a day. On a file system that several machines share, DVC's lock is a hard link
(``core.hardlink_lock``), which remains when its owner is killed. Ours therefore expires ten minutes after its owner
last renewed it, and two minutes after another process started to wait for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from topokd.errors import ParameterError, TopokdError
from topokd.io import write_text
from topokd.pipeline import lock_file
from topokd.project import project_path, project_root
from topokd.yaml_text import merge_conflict

log = logging.getLogger(__name__)
Result = TypeVar("Result")

PIPELINE, LOCK = "dvc.yaml", "dvc.lock"
PATIENCE = 24 * 3600.0  # seconds
LIFETIME, RENEWAL = 600.0, 60.0  # seconds: a hard-link lock is free this long after its owner last renewed it
SLACK = 10.0  # seconds by which the clocks of two machines may differ
LOOK = 2 * RENEWAL  # seconds without renewal that the next owner waits, in case a clock has jumped
OURS = re.compile(r"topokd\S* (stage|slurm task) ")
"""Commands that have entries in DVC's rwlock only while they hold DVC's lock."""


class StageError(TopokdError):
    """A stage failed, or DVC could not read the pipeline; the message holds the end of the log."""


@contextlib.contextmanager
def open_repository() -> Iterator[Any]:
    """The DVC repository of the project, not locked; DVC's errors except LockError become `StageError`.

    Raises:
        ParameterError: the project's folder has no dvc.yaml.
        StageError: DVC cannot read the pipeline.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    if not project_path(PIPELINE).is_file():
        raise ParameterError(f"{project_path(PIPELINE)} does not exist: run this in a checkout of the project")
    logging.getLogger("dvc").propagate = False  # DVC prints its messages itself
    logging.getLogger("dvc").setLevel(logging.WARNING)  # without "Generating lock file" and the like
    logging.getLogger("flufl.lock").setLevel(logging.CRITICAL)  # it calls every wait an error
    lock_file.write_atomically()
    try:
        with Repo(str(project_root())) as repo:
            yield repo
    except LockError:  # the caller tries again
        raise
    except SCMError as error:
        raise StageError(
            f"{error}\nThis copy is not under git: run `dvc config --local core.no_scm true` once"
        ) from error
    except DvcException as error:
        _require_merged()
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise StageError(f"DVC cannot read the pipeline: {error}{cause}") from error


def _require_merged() -> None:
    """Raise `StageError` if a merge left a conflict in a file that DVC reads; DVC names a line, but not the cause."""
    for name, advice in ((PIPELINE, ""), (LOCK, f"; for {LOCK}, either will do: git checkout --ours {LOCK}")):
        with contextlib.suppress(OSError):
            conflict = merge_conflict(project_path(name).read_bytes())
            if conflict is not None:
                raise StageError(f"{project_path(name)}: {conflict}{advice}")


def with_lock(action: Callable[[Any], Result], patience: float = PATIENCE) -> Result:
    """``action(repository)`` with DVC's lock held.

    The action is retried while a running ``dvc repro`` holds a file that it reads or writes.

    Args:
        action: the function to call; it is called again each time a lock stops it.
        patience: seconds to wait for locks.

    Returns:
        What ``action`` returns.

    Raises:
        StageError: the locks were not free within that time, or DVC cannot read the pipeline.
    """
    results: list[Result] = []
    acquire_patiently(lambda: results.append(_locked(action, patience)), patience)
    return results[0]


def _locked(action: Callable[[Any], Result], patience: float) -> Result:
    with open_repository() as repo:
        lock = repo.lock
        if hasattr(lock, "lifetime"):  # the hard-link lock
            lock.lifetime = timedelta(seconds=LIFETIME)

        watch = _Watch()

        def acquire() -> None:
            if hasattr(lock, "lifetime"):
                _remove_abandoned(Path(lock.lockfile), watch)
            lock.lock()

        acquire_patiently(acquire, patience)
        try:
            with _renewed(lock):
                _forget_killed_stages(Path(repo.tmp_dir))
                lock_file.restore()
                repo._reset()  # what was read before the lock may have changed
                return action(repo)
        finally:
            lock.unlock()


def acquire_patiently(
    acquire: Callable[[], None],
    patience: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call ``acquire`` until it does not raise DVC's LockError.

    The pauses are random, so that waiting processes do not retry in lockstep, and grow to a few seconds, so that many
    of them do not load the file system.

    Args:
        acquire: DVC's ``lock``, which itself tries for three seconds.
        patience: seconds after which to give up.
        clock: returns seconds.
        sleep: waits for a number of seconds.

    Raises:
        StageError: the lock was not free within that time.
    """
    from dvc.lock import LockError

    started, pause = clock(), 0.5
    while True:
        try:
            return acquire()
        except LockError as error:
            waited = clock() - started
            if waited > patience:
                raise StageError(
                    f"waited {waited:.0f} s for DVC ({error}); if no DVC process is running on any machine that shares "
                    f"this folder, delete {project_path('.dvc/tmp/lock')}"
                ) from error
        sleep(random.uniform(0.2, pause))
        pause = min(2 * pause, 5.0)


@contextlib.contextmanager
def _renewed(lock: Any) -> Iterator[None]:
    """Renew a hard-link lock from a thread while it is held; does nothing for a lock of the operating system."""
    if not hasattr(lock, "lifetime"):
        yield
        return
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEWAL):
            lock.refresh(unconditionally=True)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Watch:
    """Observes a hard-link lock for a waiting process.

    The modification time of the lock is the time at which it expires by the clock of its owner. Clocks jump (a
    suspended laptop, the first answer of a time server), so an expired lock counts as abandoned only if it has not been
    renewed for `LOOK` seconds of this process's monotonic clock; a lock that has not been renewed for its whole
    lifetime counts as abandoned in any case.
    """

    def __init__(self) -> None:
        self._seen, self._since = 0, 0.0

    def is_abandoned(self, file: Path) -> bool:
        """Whether the owner of the lock has died; to be called repeatedly.

        Raises:
            FileNotFoundError: the lock is free.
        """
        status, now = file.stat(), time.monotonic()
        if status.st_mtime_ns != self._seen:
            self._seen, self._since = status.st_mtime_ns, now
        unchanged = now - self._since
        expired = status.st_mtime + SLACK < time.time()
        return (expired and unchanged >= LOOK) or unchanged >= LIFETIME + SLACK


def _remove_abandoned(file: Path, watch: _Watch) -> None:
    """Remove a hard-link lock whose owner died; its library does not, because of the name that DVC gives it.

    The file is first moved aside: if another process removed it meanwhile, so that this is already the next owner's
    lock, it is put back.
    """
    aside = file.with_name(f"expired-{socket.gethostname()}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        if not watch.is_abandoned(file):
            return
        file.rename(aside)
        if watch.is_abandoned(aside):
            log.warning("%s: its owner was killed; removed", file)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(aside, file)
        aside.unlink()


def _forget_killed_stages(folder: Path) -> None:
    """Remove entries of killed stages from DVC's rwlock; call it with DVC's lock held.

    DVC removes entries of dead processes itself, but mistakes any process with the same number, on this or another
    machine, for the owner, and then asks the user to delete the file. Entries of our stages exist only while they hold
    the lock, so that the next owner of the lock knows that they are dead. Entries of a plain ``dvc repro`` are kept.
    """
    (folder / "rwlock.lock").unlink(missing_ok=True)  # guards the file for milliseconds, inside the lock
    file = folder / "rwlock"
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        write = {path: info for path, info in entries.get("write", {}).items() if not OURS.search(info.get("cmd", ""))}
        read = {
            path: [info for info in infos if not OURS.search(info.get("cmd", ""))]
            for path, infos in entries.get("read", {}).items()
        }
    except FileNotFoundError:
        return
    except (ValueError, AttributeError, TypeError, RecursionError):  # killed while it was written, or another content
        log.warning("%s was left incomplete by a killed process; starting over", file)
        file.unlink(missing_ok=True)
        return
    kept = {"write": write, "read": {path: infos for path, infos in read.items() if infos}}
    if kept != {"write": entries.get("write", {}), "read": entries.get("read", {})}:
        write_text(file, json.dumps(kept))


def share_lock() -> None:
    """Set ``core.hardlink_lock`` in .dvc/config.local, if the file system has hard links.

    Call it before processes on several machines use the project. Without hard links, or if it is already set, nothing
    changes.
    """
    with open_repository() as repo:
        if repo.config["core"].get("hardlink_lock") or not _has_hard_links(Path(repo.tmp_dir)):
            return
        with repo.config.edit("local") as settings:
            settings.setdefault("core", {})["hardlink_lock"] = True


def _has_hard_links(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    one, two = (folder / f".topokd-link-{os.getpid()}-{name}" for name in "ab")
    try:
        one.touch()
        os.link(one, two)
        return one.stat().st_nlink == 2
    except OSError as error:
        log.warning("%s has no hard links (%s): DVC's lock is left as it is", folder, error)
        return False
    finally:
        one.unlink(missing_ok=True)
        two.unlink(missing_ok=True)

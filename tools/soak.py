"""Kill the project's work at random moments, start it again, and compare the results with an uninterrupted run's.

    python tools/soak.py                      50 kills
    python tools/soak.py --kills 12 --seed 7  other moments

Everything happens in a scratch clone with the profile of conf/smoke.yaml. Each kind of work runs once as a
reference. Then it starts over, is killed (SIGKILL) several times in a row, and is started by the same command each
time until it ends. The moment is uniform over the duration of the reference; killed are in turn the process that was
started, all processes below it at once, or a random one of them. After each kill everything must end by itself, and
every result file that exists must have the bytes of the reference: none is half-written. At the end all results must.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.pipeline import scratch  # noqa: E402
from topokd.io import write_json, write_text  # noqa: E402
from topokd.machine import processor_name  # noqa: E402

PROFILE = scratch.PROFILE
WAIT = 120.0  # seconds in which the processes below a killed one must end
VICTIMS = ("the command", "all processes", "one process")
TOPOKD = (sys.executable, "-m", "topokd.cli")
LEFT_OUT = ("panels", "topology_cost", "model_cost", "study", "explorers", "paper")
"""Stages whose results are times, that show them, or that do what other stages do: the clone has none of them."""


@dataclass
class Work:
    """One kind of work.

    Args:
        name: name of the work, for messages.
        command: starts it, and starts it again.
        results: beginnings of the names of its results; empty: all of the profile.
        states: files and folders to remove so that it starts over.
        share: share of all kills.
    """

    name: str
    command: tuple[str, ...]
    results: tuple[str, ...]
    states: tuple[str, ...]
    share: int
    seconds: float = 0.0
    kills: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def all_work() -> list[Work]:
    """The work that is killed: data generation, training (also on ranks), evaluation, a notebook, `topokd repro`."""

    def stage(address: str) -> tuple[str, ...]:
        return (*TOPOKD, "stage", "--force", address)

    def run(name: str, profile: str = PROFILE) -> tuple[str, ...]:
        return (
            f"workspace/{profile}/checkpoints/{name}",
            f"results/{profile}/runs/{name}",
            f"workspace/{profile}/notebooks/20_{name}",
            f"workspace/{profile}/notebooks/30_{name}",
        )

    resume = f"workspace/{PROFILE}/resume"
    data = (f"workspace/{PROFILE}/data/", f"results/{PROFILE}/data.json", f"workspace/{PROFILE}/notebooks/10_")
    return [
        Work("data generation", stage(f"data@{PROFILE}"), data, (), 6),
        Work("training a teacher", stage(f"teacher@{PROFILE}-0"), run("teacher-seed0"), (resume,), 9),
        Work(
            "training a student",
            stage(f"student@{PROFILE}-full-0"),
            (*run("full-seed0"), f"workspace/{PROFILE}/notebooks/30_student-full"),
            (resume, f"workspace/{PROFILE}/teacher_outputs"),
            9,
        ),
        Work(
            "training on two ranks",
            (*TOPOKD, "train", "teacher", "--profile", "ranks"),
            run("teacher-seed0", "ranks"),
            ("workspace/ranks/resume", "workspace/ranks/checkpoints", "results/ranks/runs"),
            6,
        ),
        Work(
            "evaluation",
            stage(f"evaluation@{PROFILE}"),
            (
                f"results/{PROFILE}/evaluation.json",
                f"figures/{PROFILE}/evaluation",
                f"workspace/{PROFILE}/notebooks/40_",
            ),
            (),
            6,
        ),
        Work(
            "a notebook",
            (*TOPOKD, "notebook", "notebooks/50_topology.py", "--profile", PROFILE),
            (f"results/{PROFILE}/topology.json", f"figures/{PROFILE}/topology/", f"workspace/{PROFILE}/notebooks/50_"),
            (f"results/{PROFILE}/topology.json", f"workspace/{PROFILE}/notebooks/50_topology.ipynb"),
            4,
        ),
        Work(
            "dvc repro",
            # the first restores dvc.lock if DVC was killed while writing it (docs/failures.md)
            ("sh", "-c", f"topokd status --profile {PROFILE} && exec dvc repro -s --force data@{PROFILE}"),
            data,
            (),
            4,
        ),
        Work(
            "topokd repro",
            (*TOPOKD, "repro", "--profile", PROFILE, "--jobs", "1"),
            (),
            (f"workspace/{PROFILE}", f"results/{PROFILE}", f"figures/{PROFILE}", "dvc.lock"),
            6,
        ),
    ]


def make_clone(folder: Path) -> Path:
    """The scratch clone, with one seed and one row, and a profile whose teacher trains on two ranks."""
    clone = scratch.make_clone(folder, seeds=(0,), rows=("full",))
    smoke = (clone / f"conf/{PROFILE}.yaml").read_text()
    assert "  teacher_steps: 6\n" in smoke
    smoke = smoke.replace("teacher_steps: 6", "teacher_steps: 16").replace("student_steps: 6", "student_steps: 16")
    (clone / f"conf/{PROFILE}.yaml").write_text(smoke)
    pipeline = yaml.safe_load((clone / "dvc.yaml").read_text())
    for stage in LEFT_OUT:
        pipeline["stages"].pop(stage, None)
    (clone / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    (clone / "conf/ranks.yaml").write_text(
        f"extends: {PROFILE}\ndata: {{root: workspace/{PROFILE}/data}}\ntrain: {{ranks: 2, batch_size: 2}}\n"
    )
    return clone


def digests(clone: Path, work: Work) -> dict[str, str]:
    """Content of the results of a kind of work that exist."""
    every = scratch.digests(clone) | scratch.digests(clone, "ranks")
    return {name: digest for name, digest in every.items() if name.startswith(work.results or ("",))}


def start_over(clone: Path, work: Work) -> None:
    """Remove states, and results that the command would take for its own."""
    for name in work.states:
        path = clone / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@contextlib.contextmanager
def started(clone: Path, work: Work, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command of a kind of work; its words are appended to a file."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            work.command,
            cwd=clone,
            env=scratch.own_environment(clone),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
        yield process


def finish(clone: Path, work: Work, log: Path) -> float:
    """Run to the end; returns the seconds taken."""
    before = time.monotonic()
    with started(clone, work, log) as process:
        status = process.wait()
    if status != 0:
        work.problems.append(f"exit status {status}: {' | '.join(log.read_text(errors='replace').splitlines()[-6:])}")
    return time.monotonic() - before


def kill(clone: Path, work: Work, log: Path, moment: float, victim: str, rng: random.Random) -> int | None:
    """Start the work and kill it after ``moment`` seconds.

    Returns:
        Exit status of the command, which can be 0 where it did not need the killed process; None: it had ended before.
    """
    with started(clone, work, log) as process:
        try:
            process.wait(moment)
            return None
        except subprocess.TimeoutExpired:
            pass
        below = psutil.Process(process.pid).children(recursive=True)
        names = {"the command": [process.pid], "all processes": [process.pid, *(child.pid for child in below)]}
        for pid in names.get(victim) or [rng.choice([process.pid, *(child.pid for child in below)])]:
            with contextlib.suppress(ProcessLookupError):
                psutil.Process(pid).send_signal(signal.SIGKILL) if psutil.pid_exists(pid) else None
        try:
            process.wait(WAIT if victim != VICTIMS[2] else WAIT + 10 * work.seconds)
        except subprocess.TimeoutExpired:
            work.problems.append(f"a kill of {victim} after {moment:.1f} s: the command did not end")
            process.kill()
        _, alive = psutil.wait_procs(below, timeout=WAIT)
        if alive:
            work.problems.append(f"a kill of {victim} after {moment:.1f} s: {len(alive)} processes still run")
            for child in alive:
                child.kill()
        return process.returncode


def soak(clone: Path, work: Work, kills: int, rng: random.Random, log: Path, say: Callable[[str], None]) -> None:
    """Kill one kind of work so many times; what is wrong is noted in ``work.problems``."""
    start_over(clone, work)
    work.seconds = round(finish(clone, work, log), 1)
    reference = digests(clone, work)
    if not reference or work.problems:
        work.problems.append(f"the reference has {len(reference)} results")
        return
    start_over(clone, work)
    while len(work.kills) < kills:
        moment = rng.uniform(0, work.seconds)
        victim = VICTIMS[len(work.kills) % len(VICTIMS)]
        status = kill(clone, work, log, moment, victim, rng)
        if status is None:
            start_over(clone, work)  # it was faster than the reference
            continue
        wrong = [name for name, digest in digests(clone, work).items() if reference.get(name) != digest]
        if wrong:
            work.problems.append(f"after a kill of {victim} after {moment:.1f} s other bytes: {', '.join(wrong[:5])}")
        work.kills.append({"seconds": round(moment, 2), "killed": victim})
        say(f"{work.name}: kill {len(work.kills)} of {kills}, {victim} after {moment:.1f} s of {work.seconds:.1f} s")
        if status == 0:
            start_over(clone, work)
    finish(clone, work, log)
    after = digests(clone, work)
    different = sorted(name for name in reference.keys() | after.keys() if reference.get(name) != after.get(name))
    if different:
        work.problems.append(
            f"at the end {len(different)} of {len(reference)} results differ: {', '.join(different[:5])}"
        )
    say(f"{work.name}: {len(reference)} results compared, {'; '.join(work.problems) or 'all equal'}")


def shared(total: int, work: list[Work]) -> list[int]:
    """Kills of each kind of work, by its share; they add up to ``total``."""
    whole = sum(each.share for each in work)
    ends = [round(total * sum(each.share for each in work[: k + 1]) / whole) for k in range(len(work))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    good = sum(len(each["kills"]) for each in record["work"] if not each["problems"])
    total = sum(len(each["kills"]) for each in record["work"])
    lines = [
        "# Killed at random moments",
        "",
        f"Written by `python tools/soak.py --kills {total} --seed {record['seed']}` in {record['minutes']:.0f} "
        "minutes on "
        f"{record['processor']}, a machine shared with other work: **{good} of {total}**.",
        "",
        "A reduced pipeline in a scratch clone. Each kind of work ran once uninterrupted; then it started over, was "
        "killed (-9) at "
        "moments drawn uniformly from that duration, and was started by the same command each time until it ended. "
        "After each "
        "kill every result file that existed had the bytes of the uninterrupted run, and no process went on; at the "
        "end all "
        "results had. The clone has no stages that measure times.",
        "",
        "| work | uninterrupted (s) | kills | after (s) | results compared | wrong |",
        "|---|---:|---:|---|---:|---|",
    ]
    for each in record["work"]:
        moments = ", ".join(f"{kill['seconds']:.1f}" for kill in each["kills"])
        wrong = "; ".join(each["problems"]).replace("|", "/") or "none"
        lines.append(
            f"| {each['name']} | {each['seconds']:.1f} | {len(each['kills'])} | {moments} | {each['compared']} | "
            f"{wrong} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Command line; exit status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims")
    parser.add_argument("--only", help="one kind of work, by the beginning of its name")
    parser.add_argument("--record", type=Path, help="folder for soak.json and soak.md, such as benchmarks")
    options = parser.parse_args()
    work = [each for each in all_work() if each.name.startswith(options.only or "")]
    rng, began = random.Random(options.seed), time.monotonic()

    def say(text: str) -> None:
        print(f"{(time.monotonic() - began) / 60:5.1f} min  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="topokd-soak-") as name:
        clone = make_clone(Path(name, "clone"))
        everything = all_work()[-1]
        say(f"{clone}: everything once")
        finish(clone, everything, Path(name, "first.log"))
        if everything.problems:
            raise SystemExit("\n".join(everything.problems))
        record: dict[str, Any] = {"seed": options.seed, "processor": processor_name(), "work": []}
        for number, (each, kills) in enumerate(zip(work, shared(options.kills, work), strict=True)):
            log = Path(name, f"{number}.log")
            soak(clone, each, kills, rng, log, say)
            record["work"].append(asdict(each) | {"compared": len(digests(clone, each))})
            record["minutes"] = round((time.monotonic() - began) / 60, 1)
            if options.record:
                kept = [
                    {k: v for k, v in each.items() if k not in ("command", "states", "results")}
                    for each in record["work"]
                ]
                write_json(options.record / "soak.json", record | {"work": kept})
                write_text(options.record / "soak.md", markdown(record))
    problems = [f"{each.name}: {problem}" for each in work for problem in each.problems]
    print("\n".join(problems) or f"{sum(len(each.kills) for each in work)} kills, nothing lost")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())

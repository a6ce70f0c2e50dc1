"""A real SLURM with two nodes on this machine: munged, slurmctld and two slurmd, with everything in one folder.

Each node has two cores, and one GPU that SLURM only counts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")
CONFIGURATION = """\
ClusterName=topokd
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
SlurmdTimeout=20
SchedulerParameters=sched_interval=2,sched_min_interval=0,batch_sched_delay=0,bf_interval=3
GresTypes=gpu
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs={cpus} RealMemory=16000 Gres=gpu:1
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={two} CPUs={cpus} RealMemory=16000 Gres=gpu:1
PartitionName=low Nodes=one,two Default=YES PriorityTier=1 State=UP
PartitionName=high Nodes=one,two PriorityTier=10 State=UP
"""


def install() -> None:
    """Install Debian's packages if they are missing; skip the tests where that cannot be done."""
    if all(shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") for program in PROGRAMS):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("needs slurm-wlm and munge; as root on Debian the tests install them themselves")
    update = "timeout 120 apt-get update -qq"  # without a network it would try for minutes
    get = "timeout 300 apt-get install -y -qq --no-install-recommends slurm-wlm munge"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["sh", "-c", f"{update}; {get}"], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"slurm-wlm and munge cannot be installed: {done.stderr.strip()[-300:]}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(folder: Path, cpus: int = 2) -> Iterator[Path]:
    """Start the daemons in ``folder`` and name their configuration in ``$SLURM_CONF``; end only them afterwards.

    Where they do not start the tests are skipped: that says something about the machine, not about topokd.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name in ("state", "spool-one", "spool-two"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    ports = {name: free_port() for name in ("controller", "one", "two")}
    configuration.write_text(CONFIGURATION.format(host=socket.gethostname(), folder=folder, cpus=cpus, **ports))
    (folder / "gres.conf").write_text("Name=gpu Count=1 File=/dev/null\n")  # SLURM counts it; there is no GPU
    key = folder / "munge.key"
    key.write_bytes(os.urandom(256))
    key.chmod(0o600)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(configuration)
    path = f"{os.environ['PATH']}:/usr/sbin"
    munge = [f"--{name}={folder}/munge.{kind}" for name, kind in _MUNGE_FILES.items()]
    commands = [
        ["munged", "--foreground", "--force", "--num-threads=4", *munge],
        ["slurmctld", "-D", "-c", "-f", str(configuration)],
        ["slurmd", "-D", "-c", "-N", "one", "-f", str(configuration)],
        ["slurmd", "-D", "-c", "-N", "two", "-f", str(configuration)],
    ]
    daemons = []
    try:
        for command in commands:
            with (folder / f"{command[0]}.out").open("ab") as out:
                program = shutil.which(command[0], path=path)
                assert program is not None
                daemons.append(subprocess.Popen([program, *command[1:]], stdout=out, stderr=out, cwd=folder))
            time.sleep(0.5)
        if not wait_until(lambda: sinfo().count("idle") >= 2, 90, "both nodes to be idle", fail=False):
            pytest.skip(f"SLURM does not start on this machine: {state_of(folder)}")
        if (said := problem_of_a_job()) is not None:
            pytest.skip(f"SLURM starts, but runs no jobs on this machine: {said}\n{state_of(folder)}")
        yield configuration
    finally:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        wait_until(lambda: not squeue(), 60, "an empty queue", fail=False)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()
        if before is None:
            os.environ.pop("SLURM_CONF", None)
        else:
            os.environ["SLURM_CONF"] = before


_MUNGE_FILES = {
    "socket": "socket",
    "key-file": "key",
    "pid-file": "pid",
    "log-file": "log",
    "seed-file": "seed",
}


def sinfo() -> str:
    return subprocess.run(["sinfo", "--Node", "--noheader", "--format=%N %t"], capture_output=True, text=True).stdout


def squeue() -> dict[str, tuple[str, str, str]]:
    """State, reason and node of each task in the queue."""
    command = ["squeue", "--array", "--noheader", "--format=%i|%T|%r|%N"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return {parts[0]: (parts[1], parts[2], parts[3]) for line in lines if len(parts := line.strip().split("|")) == 4}


def problem_of_a_job() -> str | None:
    """What is wrong with a job that does nothing on both nodes; None: nothing."""
    command = ["srun", "--nodes=2", "--ntasks=2", "--mem=10M", "true"]
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "it did not end in two minutes"
    return None if done.returncode == 0 else done.stderr


def state_of(folder: Path | None) -> str:
    """Nodes, queue, and the ends of the daemons' logs in ``folder``."""
    files = [] if folder is None else sorted([*folder.glob("slurm*.log"), *folder.glob("*.out")])
    logs = [f"{file}:\n{file.read_text(errors='replace')[-1500:]}" for file in files]
    return "\n".join([sinfo(), str(squeue()), *logs])


def wait_until(
    condition: Callable[[], bool], seconds: float, what: str, folder: Path | None = None, fail: bool = True
) -> bool:
    """Until the condition holds; returns whether it does, or fails the test after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            if fail:
                pytest.fail(f"waited {seconds:.0f} s for {what}\n{state_of(folder)}")
            return False
        time.sleep(0.3)
    return True

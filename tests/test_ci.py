"""`.ci/run` with stand-ins for the programs that it calls: what makes it fail, and what does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PYTEST = """\
#!/bin/sh
echo "pytest bounds=$NUMBA_BOUNDSCHECK $*" >> calls
for word in "$@"; do
  case $word in --junit-xml=*) mkdir -p "$(dirname "${{word#*=}}")"; cp failures.xml "${{word#*=}}";; esac
done
case "$*" in *{which}*)
  status=$(head -n 1 statuses); sed -i 1d statuses
  [ "$status" != sleep ] || exec sleep 60
  exit "${{status:-0}}";;
esac
"""
CHECKS = {
    "interrupts and SLURM": "test_interrupts.py",
    "unit tests with bounds checks": "m.unit",
    "the reduced pipeline on SLURM": "m.cluster.tests/cluster/test_pipeline.py",
}


@dataclass
class Checkout:
    """A folder with the script and its stand-ins."""

    root: Path

    def program(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def pytest(self, which: str, *statuses: object) -> None:
        """The check whose arguments match ends with these statuses, one run after another; all others with 0."""
        self.program(".venv/bin/pytest", PYTEST.format(which=which.replace(".", "?")))
        (self.root / "failures.xml").write_text("index 5 is out of bounds")
        (self.root / "statuses").write_text("".join(f"{status}\n" for status in statuses))

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"  # alone: the script may be running these very tests
        return subprocess.run(
            ["bash", ".ci/run"], cwd=self.root, env={"PATH": path, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip

    def calls(self) -> list[str]:
        file = self.root / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / ".ci").mkdir()
    shutil.copy(PROJECT / ".ci/run", tmp_path / ".ci/run")
    made = Checkout(tmp_path)
    for name in ("chromium", "pdftoppm", "apt-get"):
        made.program(f"bin/{name}", "#!/bin/sh\nexit 0\n")
    made.program("bin/make", '#!/bin/sh\necho "make $*" >> calls\n')
    made.program(".venv/bin/python", '#!/bin/sh\necho "python $*" >> calls\n')
    made.pytest("nothing")
    return made


def test_every_check_runs_after_make_test(checkout: Checkout):
    done = checkout.run()
    assert done.returncode == 0, done.stdout
    first, second, *checks = checkout.calls()
    assert first == "make test" and second.startswith("python tools/fuzz.py")
    assert ["bounds=1" in call for call in checks] == [False, True, False]
    files = [word for call in checks for word in call.split() if word.startswith("tests/")]
    assert len(files) == 4 and all((PROJECT / file).exists() for file in files)


def test_a_failure_of_make_test_ends_it(checkout: Checkout):
    checkout.program("bin/make", "#!/bin/sh\nexit 2\n")
    assert checkout.run().returncode == 2 and not checkout.calls()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("statuses", "fails"),
    [((1, 1), True), ((1, 0), False), ((1, 124), False), ((124,), False), ((137,), False), ((4,), True), ((5,), True)],
    ids=["twice", "once", "no time to repeat", "no time", "killed", "no such file", "no tests"],
)
def test_only_what_fails_twice_or_cannot_run_decides(
    checkout: Checkout, check: str, statuses: tuple[int, ...], fails: bool
):
    checkout.pytest(CHECKS[check], *statuses)
    done = checkout.run()
    assert (done.returncode == 1) is fails and done.returncode in (0, 1), done.stdout
    assert ("1 of them failed" in done.stdout) is fails
    assert f"{check}: exit status {statuses[0] if statuses[0] != 137 else 124} " in done.stdout
    repeated = [call for call in checkout.calls() if "--last-failed --last-failed-no-failures none" in call]
    assert len(repeated) == (statuses[0] == 1)
    assert len(checkout.calls()) == 5 + len(repeated)  # a failure does not keep the next check from running
    if repeated:
        assert f"{check}, its failures again: exit status {statuses[1]} " in done.stdout
        first = next(call for call in checkout.calls() if repeated[0].startswith(call))  # the same one, with its cache
        assert f"cache_dir=.pytest_cache/{check.replace(' ', '-')} " in first


def test_with_bounds_checks_only_a_wrong_index_counts(checkout: Checkout):
    checkout.pytest(CHECKS["unit tests with bounds checks"], 1, 1)
    (checkout.root / "failures.xml").write_text("assert 3.2 < 2")
    done = checkout.run()
    assert done.returncode == 0 and "with bounds checks, its failures again: exit status 1 " in done.stdout


def test_fuzzing_does_not_decide(checkout: Checkout):
    checkout.program(".venv/bin/python", "#!/bin/sh\nexit 1\n")
    done = checkout.run()
    assert done.returncode == 0 and "a minute of fuzzing: exit status 1 " in done.stdout


def test_without_time_nothing_is_started_and_nothing_fails(checkout: Checkout):
    done = checkout.run(MINUTES="5")
    assert done.returncode == 0 and checkout.calls() == ["make test"]
    assert done.stdout.count("exit status 124 after 0 s") == 4


def test_packages_that_cannot_be_installed_do_not_stop_it(checkout: Checkout):
    for name in ("chromium", "pdftoppm"):
        (checkout.root / "bin" / name).unlink()
    checkout.program("bin/apt-get", "#!/bin/sh\necho 'no network' >&2\nexit 100\n")
    path = f"{checkout.root / 'bin'}:/nowhere"
    # of this machine, without its browser
    for name in ("bash", "timeout", "dirname", "sed", "head", "sleep", "mkdir", "cp", "grep"):
        (checkout.root / "bin" / name).symlink_to(shutil.which(name) or "")
    done = checkout.run(PATH=path)
    assert done.returncode == 0 and "could not be installed" in done.stdout, done.stdout
    assert len(checkout.calls()) == 5

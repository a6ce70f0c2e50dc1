"""Commands whose standard streams are closed or on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

BEGIN = "import os, sys; from topokd.cli.streams import prepare_streams; prepare_streams(); "


def shell(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, in which "$@" is this Python with the arguments."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, *arguments], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "0<&-", "0<&- 1>&- 2>&-"])
def test_messages_to_a_closed_stream_do_not_land_in_the_next_file(tmp_path: Path, closed: str):
    """Its number is free, and the system gives it to the next file: messages of C libraries were written into that."""
    file = tmp_path / "labels"
    script = (
        f"{BEGIN}stream = open(sys.argv[1], 'wb'); os.write(2, b'noise'); os.write(1, b'noise'); "
        "print('said'); print('warned', file=sys.stderr); assert sys.stdin.read() == ''; sys.exit(stream.fileno() < 3)"
    )
    assert (
        shell(
            f'"$@" {closed} < /dev/null' if "0<" not in closed else f'"$@" {closed}', "-c", script, str(file)
        ).returncode
        == 0
    )
    assert file.read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
class TestFull:
    def test_a_full_standard_error_does_not_end_the_work(self):
        script = (
            f"{BEGIN}from topokd.progress import Progress\n"
            "import logging; logging.basicConfig(); logging.warning('odd'); print('odd', file=sys.stderr)\n"
            "print(sum(Progress([1, 2, 3], 'adding')))"
        )
        done = shell('"$@" 2> /dev/full', "-c", script)
        assert (done.returncode, done.stdout) == (0, "6\n")

    def test_a_full_standard_output_is_named(self):
        done = shell('"$@" > /dev/full', "-m", "topokd.cli", "--version")
        assert done.returncode == 1
        assert done.stderr == (
            "error: standard output: No space left on device; free some space or choose another path\n"
        )


def test_a_closed_pipe_ends_a_command_without_a_traceback():
    done = shell('set -o pipefail; "$@" | true', "-m", "topokd.cli", "--help")
    assert done.returncode in (0, 1) and done.stderr == ""

"""A compute node that offers little: no network, sources that cannot be written, no home; a notebook runs there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.training.conftest import tiny_params
from topokd import params as P
from topokd.compiled.cache import cache_root

pytestmark = pytest.mark.long
SCRIPT = """# %% [markdown]
# # A notebook

# %% tags=["parameters"]
params_file = "params.yaml"

# %%
import errno, os, socket
from pathlib import Path
import topokd

for address in (("192.0.2.1", 443), ("10.0.0.1", 80)):
    try:
        socket.create_connection(address, timeout=5)
    except OSError as error:
        assert error.errno == errno.ENETUNREACH, error
    else:
        raise AssertionError("there is a network")
try:
    (Path(topokd.__file__).parent / "written").touch()
except OSError as error:
    assert error.errno == errno.EROFS, error
else:
    raise AssertionError("the sources can be written")
assert not os.access(os.environ.get("HOME", "/proc/none"), os.W_OK)

# %%
import torch
from topokd import params as P
from topokd.models import build_model
from topokd.topology import vietoris_rips
from topokd.training import train_teacher

len(vietoris_rips(torch.rand(20, 3), max_dim=1).diagrams)

# %%
train_teacher(P.load(Path(params_file).resolve()), 0)
"""
NODE = """\
set -e
mount --bind "$1/topokd" "$1/topokd"
mount -o remount,ro,bind "$1/topokd"
python -c '
import fcntl, socket, struct
with socket.socket() as any_socket:  # this node itself can be reached, as everywhere: kernels of notebooks need that
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 0x41))'
exec python -m topokd.cli notebook n.py -p params_file=params.yaml
"""


@pytest.fixture
def isolated() -> list[str]:
    """Starts a command with its own network and its own view of the file system."""
    command = ["unshare", "--net", "--mount"]
    try:
        done = subprocess.run([*command, "mount", "--bind", "/tmp", "/tmp"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs unshare (util-linux)")
    if done.returncode != 0:
        pytest.skip(f"namespaces are not allowed here: {done.stderr.decode().strip()}")
    return command


def test_a_notebook_that_trains_needs_no_network_no_home_and_no_writable_sources(
    isolated: list[str], tmp_path: Path, scans: Path
):
    (tmp_path / "topokd").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "n.py").write_text(SCRIPT)
    P.dump(tiny_params(scans), tmp_path / "params.yaml")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TOPOKD_", "XDG_"))},
        "HOME": "/proc/none",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "TOPOKD_ROOT": str(tmp_path),
        "TOPOKD_CACHE": str(cache_root()),  # kernels of this checkout: compiling them again is another test's
    }
    done = subprocess.run(
        [*isolated, "sh", "-c", NODE, "sh", str(PROJECT)], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert list(tmp_path.glob("workspace/*/checkpoints/teacher-seed0.safetensors"))

"""What is kept for later calls has the code that made it in its key: of every module that this code runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.test_dvc import STAGES, file_of, import_graph, paths
from topokd import io
from topokd.choices import Role
from topokd.data.cache import code_version
from topokd.training.state import code_fingerprint


def covered(key: Callable[[], object]) -> set[Path]:
    """The sources that a key is made of."""
    files: set[Path] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "sha256", lambda file: files.add(file) or "")
        io.source_digest.cache_clear()
        key()
    io.source_digest.cache_clear()
    return files


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_the_key_of_a_training_covers_the_code_that_its_stage_depends_on(role: Role):
    declared = [io.PACKAGE.parent / path for path in paths(STAGES[role]["deps"]) if path.startswith("topokd/")]
    sources = {source for path in declared for source in ([path] if path.suffix else path.rglob("*.py"))}
    needed = {source for source in sources if "viz" not in source.parts}
    assert len(needed) > 100 and needed - covered(lambda: code_fingerprint(role)) == set()


@pytest.mark.parametrize(
    ("packages", "key", "drawing"),
    [
        (["training"], code_fingerprint, ""),
        (["adaptation"], lambda: code_fingerprint("student", "adaptation", "labelling"), "viz"),
        (["labelling"], lambda: code_fingerprint("teacher", "labelling", "viz"), ""),
        (["datasets", "label_maps", "data.voxels"], code_version, ""),
    ],
)
def test_a_key_covers_every_module_that_a_package_imports(packages: list[str], key: Callable, drawing: str):
    graph, modules = import_graph(), set()
    for name in (f"topokd.{package}" for package in packages):
        for module in (name, *graph.find_descendants(name)):
            modules |= {module, *graph.find_upstream_modules(module)}
    needed = {file_of(name) for name in modules if not drawing or f"topokd.{drawing}" not in name}
    assert len(needed) > 40 and needed - covered(key) == set()


def test_any_changed_line_changes_the_digests(edit_source: Callable[[str], None]):
    for module in ("clouds.py", "precision.py", "scans.py", "checks.py", "label_maps/dataset.py", "compiled/jit.py"):
        before = {code_fingerprint("teacher"), code_fingerprint("student"), code_version()}
        edit_source(module)
        after = {code_fingerprint("teacher"), code_fingerprint("student"), code_version()}
        assert len(before) == len(after) == 3 and not before & after, module
    before = code_fingerprint("teacher"), code_version()
    edit_source("topology/layer.py")
    assert (code_fingerprint("teacher"), code_version()) == before

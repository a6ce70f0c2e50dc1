"""The recipes of docs/extending.md, followed literally in a scratch clone, then run through the reduced pipeline."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import PROJECT
from tests.pipeline import scratch

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(2700)]

BLOCK = re.compile(r"<!-- (create|merge): (\S+) -->\n\n```\w+\n(.*?)```", re.S)
PROFILE = "courtyard"


def blocks() -> list[tuple[str, str, str]]:
    """(what to do, file, text) of each block of the page."""
    return BLOCK.findall((PROJECT / "docs" / "extending.md").read_text(encoding="utf-8"))


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in more.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict)
        both[key] = merged(base[key], value) if nested else value
    return both


def follow(folder: Path) -> None:
    for action, name, text in blocks():
        file = folder / name
        if action == "create":
            assert not file.exists(), f"{name} exists already: the recipe would overwrite it"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        else:
            tree = merged(yaml.safe_load(file.read_text(encoding="utf-8")), yaml.safe_load(text))
            file.write_text(yaml.safe_dump(tree, sort_keys=False, default_flow_style=None), encoding="utf-8")


def write_scans(folder: Path) -> None:
    """Scans of the new data set: a floor, two walls and a box, seen from the middle."""
    for split, count in (("train", 3), ("val", 2)):
        (folder / split).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng([index, split == "val"])
            flat = rng.uniform(-15, 15, (4000, 2))
            floor = np.column_stack([flat, rng.normal(0, 0.02, 4000)])
            walls = np.column_stack(
                [rng.choice([-15.0, 15.0], 3000), rng.uniform(-15, 15, 3000), rng.uniform(0, 5, 3000)]
            )
            box = rng.uniform([2, 3, 0], [4, 6, 2], (1000, 3))
            label = np.repeat([1, 2, 3], [4000, 3000, 1000])
            label[rng.random(8000) < 0.02] = 0
            np.savez(
                folder / split / f"{index:03d}.npz",
                xyz=np.concatenate([floor, walls, box]), intensity=rng.random(8000), label=label,
            )  # fmt: skip


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = scratch.make_clone(tmp_path_factory.mktemp("recipes") / "topokd", seeds=(0,), layouts=("nuscenes",))
    follow(folder)
    write_scans(folder / "workspace" / "scans-of-the-courtyard")
    scratch.git(folder, "add", "-A")
    scratch.git(folder, "commit", "-qm", "recipes")
    scratch.run(folder, "topokd", "repro", "--profile", PROFILE)
    return folder


def test_the_page_has_a_recipe_for_each_kind_and_counts_its_files():
    """Each recipe needs one file (and YAML), counted from the blocks themselves."""
    code = [name for action, name, _ in blocks() if not name.endswith(".yaml")]
    assert code == [
        "topokd/distillation/entropy.py",
        "topokd/datasets/courtyard/__init__.py",
        "topokd/paper/exhibits/sizes.py",
        "topokd/topology/engines/gudhi_tree.py",
    ]
    assert {name for _, name, _ in blocks() if name.endswith(".yaml")} == {"params.yaml", "conf/courtyard.yaml"}


def test_the_new_row_is_trained_with_the_new_term(clone: Path):
    record = json.loads((clone / f"results/{PROFILE}/runs/kd_entropy-seed0.json").read_text())
    assert record["terms"]["entropy"] == {"weight": 0.5, "temperature": 2.0}
    shared = yaml.safe_load((PROJECT / "params.yaml").read_text())["terms"]["kd"]
    assert record["terms"]["kd"] == {"weight": shared["weight"], "temperature": 3.0}
    entropy = np.asarray(record["history"]["terms"]["entropy"], dtype=float)
    assert np.isfinite(entropy).all() and (entropy > 0).all()


def test_the_unit_tests_that_go_through_a_registry_pass_with_the_new_entries(clone: Path):
    """`make check` after each recipe: no test lists terms, rows, benchmarks or engines that it would have to learn."""
    files = {
        "tests/distillation/test_losses.py": "entropy",
        "tests/distillation/test_layouts.py": "public_loss",
        "tests/experiments/study/test_comparison.py": "compared",
        "tests/paper/test_colours.py": "colours_of_rows",
        "tests/datasets/test_official.py": "unknown_benchmarks",
        "tests/topology/test_engines.py": "gudhi-tree or choices",
        "topokd/datasets/__init__.py": "topokd.datasets",
    }
    choice = " or ".join(files.values())
    printed = scratch.run(clone, "python", "-m", "pytest", "-n0", "-q", *files, "-k", choice)
    assert re.search(r"(?m)^\d+ passed|100%", printed) and "failed" not in printed


def test_the_new_row_and_exhibit_are_in_the_report(clone: Path):
    page = (clone / f"results/{PROFILE}/report.html").read_text()
    assert "Student, KD + entropy" in page
    assert "Does matching entropies help the student?" in page
    assert "Sizes of the trained networks" in page
    beyond = (clone / f"results/{PROFILE}/tables/beyond.csv").read_text()  # Table 7 has the paper's rows alone
    assert "\nbeyond,kd_entropy,mIoU," in beyond
    assert "#4cc9f0" in (clone / f"results/{PROFILE}/params.yaml").read_text()


def test_the_new_data_set_is_trained_on_checked_and_named(clone: Path):
    record = json.loads((clone / f"results/{PROFILE}/runs/teacher-seed0.json").read_text())
    assert record["dataset"] == "courtyard"
    assert record["evaluation"]["class_names"] == ["ground", "building", "other"]
    assert "Courtyard" in (clone / f"results/{PROFILE}/report.html").read_text()
    printed = scratch.run(clone, "topokd", "data", "check", "workspace/scans-of-the-courtyard")
    assert "courtyard" in printed and "nothing is wrong" in printed
    (clone / "workspace/scans-of-the-courtyard/val/009.npz").write_bytes(b"damaged")
    try:
        printed = scratch.run(clone, "topokd", "data", "check", "workspace/scans-of-the-courtyard", check=False)
        assert "009.npz is not an .npz file" in printed
    finally:
        (clone / "workspace/scans-of-the-courtyard/val/009.npz").unlink()


def test_the_new_engine_computes_the_diagrams_of_the_others(clone: Path):
    script = """
import torch
from topokd.topology import vietoris_rips
for seed in range(20):
    x = torch.randn(25, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for mine, ours in zip(vietoris_rips(x, engine="gudhi-tree").diagrams, vietoris_rips(x).diagrams, strict=True):
        assert torch.equal(mine[mine[:, 0].argsort()].sort(0).values, ours[ours[:, 0].argsort()].sort(0).values)
print("equal")
"""
    assert "equal" in scratch.run(clone, "python", "-c", script)
    resolved = yaml.safe_load((clone / f"results/{PROFILE}/params.yaml").read_text())
    assert resolved["rows"]["full"]["terms"]["topo"]["engine"] == "gudhi-tree"


def test_a_second_repro_with_the_recipes_only_looks_at_the_scans_again(clone: Path):
    printed = scratch.run(clone, "topokd", "repro", "--profile", PROFILE)
    finished = re.findall(r"(?m)^\[\d+/\d+\] (\S+): (.+)$", printed)
    assert [stage for stage, took in finished if took != "up to date"] == [f"source@{PROFILE}"]

"""Executed notebooks become pages that share one style sheet."""

import html
import re

import nbformat
import pytest
from nbformat import v4

from topokd.paper.notebooks import STYLESHEET, plain_formulas, publish
from topokd.params import load_profile
from topokd.pipeline.pairing import notebook_scripts


@pytest.fixture
def params(tmp_path, monkeypatch):
    params = load_profile("default")
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return params


def executed(params, name, *cells):
    path = params.workspace / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=list(cells)), path)


def test_pages_link_to_one_style_sheet(params):
    for name in ("10_data", "20_teacher-seed0", "20_teacher-seed1", "90_paper"):
        executed(params, name, v4.new_markdown_cell(f"# {name}"), v4.new_code_cell("x = 1"))
    pages = publish(params)
    assert [page.name for page in pages] == [
        "10_data.html",
        "20_teacher-seed0.html",
    ]  # the first seed; 90 is the report
    sheet = (params.results / "notebooks" / STYLESHEET).read_text(encoding="utf-8")
    assert ".highlight" in sheet and "max-width" in sheet
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert f'href="{STYLESHEET}"' in text and "<style" not in text
        assert "<h1" in text and "&lt;h1" not in text


def test_the_first_seed_of_the_teachers_is_not_always_that_of_the_students(params):
    params = params.replace(seeds=(1, 2), teacher_seeds=(0,))
    for name in ("20_teacher-seed0", "30_student-kd-seed1", "30_student-kd-seed2"):
        executed(params, name, v4.new_markdown_cell(f"# {name}"))
    assert [page.stem for page in publish(params)] == ["20_teacher-seed0", "30_student-kd-seed1"]


def test_pages_are_kept_if_no_notebook_was_executed(params):
    kept = params.results / "notebooks" / "10_data.html"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    assert publish(params) == [] and kept.read_text() == "kept"


def picture() -> nbformat.NotebookNode:
    return v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})


def test_every_picture_has_the_words_around_it_as_alternative_text(params, recwarn):
    printed = v4.new_output("display_data", data={"text/markdown": "### default: trials"})
    executed(
        params,
        "50_topology",
        v4.new_markdown_cell("# Topology\n\nDiagrams of a `torus` & more."),
        v4.new_code_cell("figure", outputs=[picture()]),
        v4.new_markdown_cell("*Left: loss, $H_1$. Right: mIoU.*"),
        v4.new_markdown_cell("## Studies:\n- [Lemma 1](x.md)"),
        v4.new_code_cell("draw()", outputs=[picture(), printed, picture()]),
    )
    (page,) = publish(params)
    texts = [html.unescape(text) for text in re.findall(r'alt="([^"]*)"', page.read_text(encoding="utf-8"))]
    assert texts == [
        "Topology. Diagrams of a torus & more. Left: loss, H1. Right: mIoU.",
        "Studies. Lemma 1",
        "default: trials.",
    ]
    assert not [warning for warning in recwarn if "lternative text" in str(warning.message)]


@pytest.mark.parametrize("script", notebook_scripts(), ids=lambda script: script.stem)
def test_every_formula_of_a_notebook_is_plain_text_on_its_page(script):
    formulas = re.findall(r"\$[^$\n]+\$", script.read_text(encoding="utf-8"))
    assert not [formula for formula in formulas if re.search(r"[\\{}$]", plain_formulas(formula))]

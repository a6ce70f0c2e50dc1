"""Executed notebooks as pages next to the report that open offline, without a kernel."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import nbformat

from topokd.io import write_text
from topokd.paper.render import TEMPLATES
from topokd.paper.results import seeds_of
from topokd.params import Params
from topokd.project import split_run_name

STYLESHEET = "notebook.css"  # in the templates, and next to the pages
INTERACTIVE = "application/vnd.plotly.v1+json"
GREEK = {"epsilon": "ε", "delta": "δ", "lambda": "λ", "omega": "ω", "sum": "Σ", "to": "→", "times": "×", "infty": "∞"}


def publish(params: Params) -> list[Path]:
    """Write the pipeline's executed notebooks as ``results/<profile>/notebooks/*.html``; returns the pages.

    A notebook that runs once per seed is shown for the first seed of its network. All pages link to one style sheet in
    their folder. Without executed notebooks (a fresh clone) existing pages are kept.
    """
    executed = [
        path
        for path in sorted((params.workspace / "notebooks").glob("*.ipynb"))
        if not path.stem.startswith("90_") and _is_first(path.stem, params)
    ]
    folder = params.results / "notebooks"
    if executed:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / STYLESHEET, style())
    written = []
    for path in executed:
        written.append(folder / f"{path.stem}.html")
        write_text(written[-1], page(nbformat.read(path, as_version=4), path.stem))
    return written


def _is_first(name: str, params: Params) -> bool:
    """Whether a notebook, such as 30_student-kd-seed1, ran with the first seed of its network, or without one."""
    network, seed = split_run_name(name) or ("", None)
    return seed in (None, seeds_of(network.partition("_")[2], params)[0])


def style() -> str:
    """The style sheet of the pages: their layout, and the colours of highlighted code."""
    from pygments.formatters import HtmlFormatter

    layout = (TEMPLATES / STYLESHEET).read_text(encoding="utf-8")
    return f"{layout}{HtmlFormatter().get_style_defs('.highlight')}\n"


def page(notebook: nbformat.NotebookNode, name: str) -> str:
    """A notebook with its outputs as one page without scripts; interactive views are left out and named."""
    from nbconvert import HTMLExporter

    describe_images(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_formulas(cell.source)
        for output in cell.get("outputs", []):
            if INTERACTIVE in output.get("data", {}):
                output["data"] = {"text/plain": "(an interactive view: run the notebook to see it)"}
            if "text/markdown" in output.get("data", {}):
                output["data"]["text/markdown"] = plain_formulas(output["data"]["text/markdown"])
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(name)}</title><link rel="stylesheet" href="{STYLESHEET}"></head>\n'
        f'<body><p class="back"><a href="../report.html">← report</a> · executed notebook {html.escape(name)}</p>\n'
        f"{body}\n</body>\n</html>\n"
    )


def describe_images(notebook: nbformat.NotebookNode) -> None:
    """Give every picture the words around it as its alternative text: what introduces it, and its caption.

    Those words are the markdown above the cell, or printed by it before the picture, and the line in italics below.
    """
    words = ""
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if cell.cell_type == "markdown":
            words = cell.source
        caption = following.source if following and re.match(r"\*[^*]", following.source) else ""
        for output in cell.get("outputs", []):
            words = output.get("data", {}).get("text/markdown", words)
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                output.setdefault("metadata", {})["alt"] = plain_words(f"{words}\n\n{caption}")


def plain_words(text: str) -> str:
    """Markdown as one line without its marks; a heading becomes a sentence.

    >>> plain_words("## Figure 4: a *barcode*\\n120 points, `torus`, degree $H_1$.")
    'Figure 4: a barcode. 120 points, torus, degree H1.'
    """
    text = re.sub(r"^#+ +(.*?)[.:]?$", r"\1.", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", re.sub(r"</?(?:i|sub|sup)>", "", plain_formulas(text)))
    return " ".join(re.sub(r"[*`]|^- ", "", text, flags=re.MULTILINE).split())


def plain_formulas(text: str) -> str:
    r"""Short LaTeX between dollars as HTML: pages without scripts cannot typeset it.

    >>> plain_formulas(r"$L = L_{seg} + \lambda_k$ and $H_1$")
    '<i>L = L<sub>seg</sub> + λ<sub>k</sub></i> and <i>H<sub>1</sub></i>'
    >>> plain_formulas(r"$\log(1 + \text{persistence})$")
    '<i>log(1 + persistence)</i>'
    """

    def formula(match: re.Match[str]) -> str:
        formula_html = re.sub(r"\\text\{([^}]*)\}", r"\1", match[1])
        formula_html = re.sub(r"\\([A-Za-z]+)", lambda word: GREEK.get(word[1], word[1]), formula_html)
        formula_html = re.sub(r"_(?:\{([^}]*)\}|(\w))", lambda m: f"<sub>{m[1] or m[2]}</sub>", formula_html)
        formula_html = re.sub(r"\^(?:\{([^}]*)\}|(\w))", lambda m: f"<sup>{m[1] or m[2]}</sup>", formula_html)
        return f"<i>{formula_html}</i>"

    return re.sub(r"\$([^$\n]+)\$", formula, text)

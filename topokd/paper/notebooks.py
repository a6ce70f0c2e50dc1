"""Executed notebooks as pages beside the report: they open offline, without a kernel."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import nbformat

from topokd.io import write_text
from topokd.paper.render import TEMPLATES
from topokd.params import Params

INTERACTIVE = "application/vnd.plotly.v1+json"
GREEK = {"epsilon": "ε", "delta": "δ", "lambda": "λ", "omega": "ω", "sum": "Σ", "to": "→", "times": "×", "infty": "∞"}


def publish(params: Params) -> list[Path]:
    """Write ``results/<profile>/notebooks/*.html`` from the executed notebooks of the pipeline; returns the pages.

    Of a notebook that runs for several seeds the first seed's copy is shown. Without executed notebooks (a fresh clone)
    the pages that exist are kept.
    """
    first = str(params.seeds[0])
    executed = [
        path
        for path in sorted((params.workspace / "notebooks").glob("*.ipynb"))
        if not path.stem.startswith("90_") and re.sub(r".*-seed", "", path.stem) in (path.stem, first)
    ]
    folder = params.results / "notebooks"
    if executed:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in executed:
        written.append(folder / f"{path.stem}.html")
        write_text(written[-1], page(nbformat.read(path, as_version=4), path.stem))
    return written


def page(notebook: nbformat.NotebookNode, name: str) -> str:
    """A notebook with its outputs as one page without scripts; interactive views are left out and named."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_formulas(cell.source)
        for output in cell.get("outputs", []):
            if INTERACTIVE in output.get("data", {}):
                output["data"] = {"text/plain": "(an interactive view: run the notebook to see it)"}
            if "text/markdown" in output.get("data", {}):
                output["data"]["text/markdown"] = plain_formulas(output["data"]["text/markdown"])
    body, _ = HTMLExporter(template_name="basic", sanitize_html=True).from_notebook_node(notebook)
    style = (TEMPLATES / "notebook.css").read_text(encoding="utf-8") + HtmlFormatter().get_style_defs(".highlight")
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(name)}</title><style>{style}</style></head>\n"
        f'<body><p class="back"><a href="../report.html">← report</a> · executed notebook {html.escape(name)}</p>\n'
        f"{body}\n</body>\n</html>\n"
    )


def plain_formulas(text: str) -> str:
    r"""Short LaTeX between dollars as HTML: pages without scripts cannot typeset it.

    >>> plain_formulas(r"$L = L_{seg} + \lambda_k$ and $H_1$")
    '<i>L = L<sub>seg</sub> + λ<sub>k</sub></i> and <i>H<sub>1</sub></i>'
    """

    def formula(match: re.Match[str]) -> str:
        found = re.sub(r"\\(\w+)", lambda word: GREEK.get(word[1], word[1]), match[1])
        found = re.sub(r"_(?:\{([^}]*)\}|(\w))", lambda m: f"<sub>{m[1] or m[2]}</sub>", found)
        found = re.sub(r"\^(?:\{([^}]*)\}|(\w))", lambda m: f"<sup>{m[1] or m[2]}</sup>", found)
        return f"<i>{found}</i>"

    return re.sub(r"\$([^$\n]+)\$", formula, text)

"""Collect the pages of the site in build/docs, and write build/mkdocs.yml: mkdocs.yml and the list of pages.

python tools/docs.py

The guides are docs/*.md; home, contributing and changes are the files next to README.md. Pages of the API list what
each package names in `__all__`. Executed notebooks, reports and explorers are linked where they have been made.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
PAGES = BUILD / "docs"
GUIDES = {
    "your_network": "Your own networks",
    "datasets": "Data sets",
    "predict": "Predict and submit",
    "topology": "The topology layer",
    "functions": "Functions of diagrams",
    "explore": "Explore with the mouse",
    "models": "Networks",
    "hpc": "GPUs and clusters",
    "costs": "Costs",
    "study": "The study",
    "failures": "When something goes wrong",
    "paper_notes": "Decisions on the paper",
}
RECIPES = {"extending": "Extend topokd"}
FRONT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
API = (
    *("topology", "distillation", "models", "data", "datasets", "synthetic", "evaluation", "training"),
    *("label_maps", "labelling", "adaptation", "explore"),
)
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)\s]+)\)")


def main() -> None:
    """Write everything that `mkdocs build` reads."""
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    for source, page in FRONT.items():
        copy_markdown(ROOT / source, page)
    guides = [ROOT / "docs" / f"{name}.md" for name in (*GUIDES, *RECIPES)]
    others = [file for file in sorted((ROOT / "docs").glob("*.md")) if file not in guides]
    for file in [*guides, *others]:
        copy_markdown(file, file.name)
    benchmarks = sorted((ROOT / "benchmarks").glob("*.md"))
    for file in benchmarks:
        copy_markdown(file, f"benchmarks/{file.name}")
    write("topokd.css", STYLE)
    write("iframe-worker.js", FILE_WORKER)
    nav: list[dict[str, Any]] = [
        {"Home": "index.md"},
        {"Guides": [{GUIDES.get(f.stem) or heading(f): f.name} for f in [*guides, *others] if f.stem not in RECIPES]},
        {"Recipes": [{title: f"{name}.md"} for name, title in RECIPES.items()] + [{"Contribute": "contributing.md"}]},
        {"Examples": examples()},
        {"API": [api_page(""), *(api_page(name) for name in API), parameters_page()]},
        {"Results": [results_page(), explorers_page(), *notebooks()]},
        {"Benchmarks": [{heading(file): f"benchmarks/{file.name}"} for file in benchmarks]},
        {"Changes": "changelog.md"},
    ]
    settings = {"INHERIT": "../mkdocs.yml", "docs_dir": "docs", "nav": nav}
    (BUILD / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False))


def heading(file: Path) -> str:
    """The title in the first line of a document, for one without a shorter title in `GUIDES`."""
    return file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def write(page: str, text: str) -> None:
    """Write one page of the site."""
    file = PAGES / page
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def copy_markdown(source: Path, page: str) -> None:
    """Copy a Markdown file of the project; its links lead to pages of the site, and pictures come along."""

    def relink(match: re.Match[str]) -> str:
        text, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        place = (source.parent / path).resolve().relative_to(ROOT).as_posix()
        new = page_of(place)
        if new is None:  # a file that the site has no page for
            return f"{text[1:-1]} (`{place}`)" if place not in text else text[1:-1]
        return f"{text}({os.path.relpath(new, Path(page).parent)}{hash_}{anchor})"

    write(page, LINK.sub(relink, source.read_text(encoding="utf-8")))


def page_of(place: str) -> str | None:
    """The page for a file of the project; a picture is copied to the site."""
    if place in FRONT:
        return FRONT[place]
    if place == "examples":
        return "examples.md"
    if re.fullmatch(r"docs/[^/]+\.md", place):
        return place.removeprefix("docs/")
    if re.fullmatch(r"benchmarks/[^/]+\.md", place):
        return place
    if place.endswith((".png", ".svg")):
        (PAGES / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place, PAGES / place)
        return place
    return None


def examples() -> str:
    """One page with all files of examples/."""
    parts = ["# Examples\n\nEach is a script in `examples/`, and each is run by the tests."]
    for file in sorted((ROOT / "examples").glob("*.py")):
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source)
        first, _, rest = (ast.get_docstring(tree) or "").partition("\n")
        code = source.split("\n", tree.body[0].end_lineno or 0)[-1].strip()
        title = first.partition(":")[0].rstrip(".")
        intro = "\n\n".join(part for part in (first, rest.strip()) if part)
        parts.append(f'## {file.stem[:2]} {title}\n\n{intro}\n\n```python title="examples/{file.name}"\n{code}\n```')
    write("examples.md", "\n\n".join(parts) + "\n")
    return "examples.md"


def api_page(name: str) -> dict[str, str]:
    """The page of one package: its purpose, a table of its public names, and their documentation."""
    path = f"topokd.{name}" if name else "topokd"
    package = import_module(path)
    names = list(package.__all__)
    rows = [f"| [`{n}`][{path}.{n}] | {summary(getattr(package, n))} |" for n in names]
    about = inspect.cleandoc(package.__doc__ or "").partition("\n>>>")[0]
    text = [f"# {path}", about, "| name | |\n|---|---|\n" + "\n".join(rows), *(f"::: {path}.{n}" for n in names)]
    page = f"api/{name or 'topokd'}.md"
    write(page, "\n\n".join(text) + "\n")
    return {path: page}


def summary(value: object) -> str:
    """The first sentence of an object's docstring; for a constant, what kind of object it is."""
    if not callable(value):
        return f"a constant ({type(value).__name__})"
    first = inspect.cleandoc(value.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<!Alg)(?<!Eq)(?<!Sec)\.\s", first)[0]
    return sentence.rstrip(".").replace("|", "\\|")


def parameters_page() -> dict[str, str]:
    """A table of all parameters with their defaults."""
    from topokd.distillation import term_notes
    from topokd.parameter_listing import markdown_table
    from topokd.params import load_profile

    intro = "# Parameters\n\nThe default profile, `params.yaml`. A profile in `conf/` holds what differs from it.\n\n"
    write("api/parameters.md", intro + markdown_table(load_profile("default"), term_notes()))
    return {"Parameters": "api/parameters.md"}


def results_page() -> dict[str, str]:
    """Links to the reports in results/, which the site hosts with all they link to, in the same folders."""
    lines = ["# Results", "`make repro` writes a report of every table and figure, one file that opens offline:"]
    links = []
    for report in sorted((ROOT / "results").glob("*/report.html")):
        profile = report.parent.name
        links.append(f"- [report of profile `{profile}`](results/{profile}/report.html)")
        if report.with_suffix(".pdf").is_file():
            links[-1] += f" ([PDF](results/{profile}/report.pdf))"
        results = (f"results/{profile}/{kind}" for kind in ("report.*", "notebooks/*", "explorers/*", "tables/*.csv"))
        for pattern in (*results, f"figures/{profile}/*/*", "notebooks/*.py", "CITATION.cff"):
            for file in ROOT.glob(pattern):
                target = PAGES / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    lines += ["\n".join(links), "The expected numbers are in [the README](index.md#what-to-expect)."]
    write("results.md", "\n\n".join(lines) + "\n")
    return {"Reports": "results.md"}


def explorers_page() -> dict[str, str]:
    """Links to the reports' explorers, which `results_page` copies; to an explorer of shapes if there are none."""
    from topokd.explore.page import PAGES as EXPLORERS
    from topokd.explore.page import TITLES, write_page

    lines = ["# Explorers", "Interactive pages that open offline; [the guide](explore.md) explains what is drawn."]
    for folder in sorted((ROOT / "results").glob("*/explorers")):
        place = f"results/{folder.parent.name}/explorers"
        links = [f"- [{TITLES[k]}]({place}/{name})" for k, name in EXPLORERS.items() if (folder / name).is_file()]
        lines += [f"## Profile `{folder.parent.name}`", "\n".join(links)]
    if len(lines) == 2:
        name = EXPLORERS["filtration"]
        write_page(PAGES / "explorers" / name)
        lines.append(f"- [{TITLES['filtration']}](explorers/{name})")
    lines.append("`topokd explore FILE.npy` writes such a page of your own points.")
    write("explorers.md", "\n\n".join(lines) + "\n")
    return {"Explorers": "explorers.md"}


def notebooks() -> list[dict[str, str]]:
    """Pages of the executed notebooks of the default profile; none before `make repro`."""
    pages = []
    for file in sorted((ROOT / "workspace" / "default" / "notebooks").glob("*.ipynb")):
        page = f"notebooks/{file.name}"
        (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, PAGES / page)
        pages.append({file.stem: page})
    return pages


STYLE = """\
/* Wide tables scroll by themselves; code and tables a little smaller than the text. */
.md-typeset table:not([class]) { font-size: .68rem; }
.md-typeset .doc-heading code { font-size: .85em; }
.md-typeset h2.doc-heading { border-top: .05rem solid var(--md-default-fg-color--lightest); padding-top: 1rem; }
.md-grid { max-width: 70rem; }
"""

# Browsers start no worker for a page that is opened from the disk. The search then runs in a hidden frame instead.
FILE_WORKER = """\
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      this.waiting = [];
      window.addEventListener("message", (event) => {
        if (event.source !== this.inside) return;
        if (event.data === "file-worker ready") {
          this.waiting.forEach((data) => this.send(data));
          this.waiting = null;
          return;
        }
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      });
      frame.contentDocument.open();
      frame.contentDocument.write(`<script>
        const postMessage = (data) => parent.postMessage(data, "*");
        const importScripts = (...urls) => urls.reduce((done, url) => done.then(() => new Promise((ready) => {
          const script = document.createElement("script");
          script.src = url;
          script.onload = ready;
          document.body.append(script);
        })), Promise.resolve());
        addEventListener("load", () => parent.postMessage("file-worker ready", "*"));
      <\\/script><body><script src="${url}"><\\/script></body>`);
      frame.contentDocument.close();
    }
    send(data) { this.inside.dispatchEvent(new MessageEvent("message", { data })); }
    postMessage(data) { this.waiting ? this.waiting.push(data) : this.send(data); }
    terminate() {}
  };
}
"""

if __name__ == "__main__":
    main()

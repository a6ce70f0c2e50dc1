"""Links of the documents have targets, public names have examples, and the site can be read without a network."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import PROJECT

DOCUMENTS = [*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md")]
LIBRARY = (
    *("topology", "distillation", "models", "data", "datasets", "synthetic", "evaluation", "training"),
    *("label_maps", "labelling", "adaptation", "explore"),
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_every_link_to_a_file_leads_to_one(document: Path):
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert not missing


FOLDERS = "topokd|tests|notebooks|benchmarks|tools|conf|examples|docs|study|containers"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_every_file_and_module_that_a_document_names_exists(document: Path):
    """CHANGELOG.md names what was there at the time."""
    spans = re.findall(r"`([^`\n]+)`", document.read_text(encoding="utf-8")) if document.name != "CHANGELOG.md" else []
    files = [span for span in spans if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]+", span) and "NAME" not in span]
    missing = [file for file in files if not (PROJECT / file).exists() and not (PROJECT / f"{file}.py").exists()]
    names = [span for span in spans if re.fullmatch(r"topokd(?:\.\w+)+", span)]
    assert missing + [name for name in names if not resolves(name)] == []


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            value = import_module(".".join(parts[:length]))
            return all(hasattr(value, part) and (value := getattr(value, part)) is not None for part in parts[length:])
    return False


def test_the_readme_lists_the_layers_in_the_order_that_import_linter_enforces():
    readme, project = ((PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "pyproject.toml"))
    listed = readme.partition("each imports only from those below\n")[2].partition("notebooks/")[0]
    enforced = re.findall(r"topokd\.(\w+)", project.partition("layers = [")[2].partition("]\n")[0])
    packages = [name for name in enforced if (PROJECT / "topokd" / name).is_dir() or name == "params"]
    assert re.findall(r"\w+", listed) == packages


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_prose_is_wrapped_so_that_the_source_can_be_read(document: Path):
    prose = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    unwrapped = ("|", "    ", "Profile `")  # tables, code, and what `topokd readme` writes
    assert [line for line in prose.splitlines() if len(line) > 106 and not line.startswith(unwrapped)] == []


def packages_with_public_names() -> list[str]:
    files = sorted((PROJECT / "topokd").rglob("__init__.py"))
    named = [file.parent for file in files if re.search(r"^__all__ =", file.read_text(encoding="utf-8"), re.MULTILINE)]
    return [".".join(folder.relative_to(PROJECT).parts) for folder in named]


@pytest.mark.parametrize("package", packages_with_public_names())
def test_every_public_function_and_class_has_an_example_that_runs(package: str):
    module, missing = import_module(package), []
    for name in module.__all__:
        value = inspect.unwrap(getattr(module, name))
        if inspect.isfunction(value) or inspect.isclass(value):
            examples = doctest.DocTestParser().get_examples(value.__doc__ or "")
            if all(doctest.SKIP in example.options for example in examples):
                missing.append(name)
    assert missing == []


@pytest.mark.parametrize("package", packages_with_public_names())
def test_every_public_function_documents_its_arguments_and_its_result(package: str):
    module, missing = import_module(package), []
    for name in module.__all__:
        function = inspect.unwrap(getattr(module, name)) if callable(getattr(module, name)) else None
        if inspect.isfunction(function):
            signature, text = inspect.signature(function), function.__doc__ or ""
            if signature.parameters and "Args:" not in text:
                missing.append(f"{name}: Args")
            if signature.return_annotation not in (None, "None", "Iterator[None]") and "Returns:" not in text:
                missing.append(f"{name}: Returns")
    assert missing == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it, with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "NO_MKDOCS_2_WARNING": "1"}
    build = ["mkdocs", "build", "--strict", "--quiet", "--config-file", "build/mkdocs.yml", "--site-dir", str(folder)]
    for command in (["tools/docs.py"], ["-m", *build]):
        done = subprocess.run([sys.executable, *command], cwd=PROJECT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stderr
    return folder


@pytest.mark.package
@pytest.mark.timeout(600)
def test_the_site_lists_every_public_name_and_loads_nothing_from_elsewhere(site: Path):
    for name in LIBRARY:
        page = (site / "api" / f"{name}.html").read_text(encoding="utf-8")
        package = __import__(f"topokd.{name}", fromlist=["__all__"])
        assert [n for n in package.__all__ if f'id="topokd.{name}.{n}"' not in page] == []
    for file in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?:[^\"> ]+)", file.read_text(encoding="utf-8"))
        loaded += re.findall(r"<link[^>]*stylesheet[^>]*href=\"?(https?:[^\"> ]+)", file.read_text(encoding="utf-8"))
        assert not loaded, f"{file.name} loads {loaded}"

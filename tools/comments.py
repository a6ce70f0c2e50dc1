"""Rewrite the comments of params.yaml from the descriptions of its fields; values stay. Called by `make format`.

python tools/comments.py
"""

from __future__ import annotations

from topokd.distillation import resolve_terms, term_notes
from topokd.io import write_text
from topokd.parameter_listing import commented_yaml
from topokd.params import load
from topokd.project import project_path

FILE = "params.yaml"

if __name__ == "__main__":
    write_text(project_path(FILE), commented_yaml(resolve_terms(load(FILE)), term_notes()))

"""The parameters as text for people: the commented ``params.yaml``, and a table for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topokd import schema
from topokd.params import Params, to_dict

HEAD = """\
# The default profile: the embedded synthetic world on two CPU cores. Profiles in conf/ hold differences over this file.
# The comments are generated from topokd/sections.py and the terms in topokd/distillation: change them there.
# NOTES row N: docs/paper_notes.md. A new row of the ablation is an entry of `rows` and its name in `train_rows`.
"""


def commented_yaml(params: Params, notes: Mapping[str, str]) -> str:
    """The root ``params.yaml`` with these values: every parameter with its description as a comment.

    Args:
        params: values to write; a row's terms are written as names, with the parameters that differ from ``terms``.
        notes: further comments, dotted name -> text: ``topokd.distillation.term_notes()`` describes the terms.
    """
    return HEAD + schema.commented_yaml(_as_written(params), schema.descriptions(Params) | dict(notes))


def markdown_table(params: Params, notes: Mapping[str, str]) -> str:
    """A Markdown table of all parameters but the rows; arguments as in `commented_yaml`."""
    tree = _as_written(params)
    del tree["rows"]
    return schema.markdown_table(tree, schema.descriptions(Params) | dict(notes))


def _as_written(params: Params) -> dict[str, Any]:
    tree = {"profiles": list(params.profiles), "real_profiles": list(params.real_profiles), **to_dict(params)}
    for row in tree["rows"].values():
        own = {
            term: {key: value for key, value in given.items() if value != tree["terms"][term].get(key)}
            for term, given in row["terms"].items()
        }
        row["terms"] = own if any(own.values()) else list(own)
        row["compare"] = {
            name: {key: text for key, text in about.items() if text} for name, about in row["compare"].items()
        }
    return tree

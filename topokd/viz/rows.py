"""Labels and colours of the networks of a profile, from params.yaml, for figures and tables."""

from __future__ import annotations

from collections.abc import Mapping

from topokd.params import NetworkStyle, Params, Row
from topokd.project import TEACHER

Looks = Mapping[str, NetworkStyle | Row]  # by name: the teacher's, and those of params.rows


def looks(params: Params) -> dict[str, NetworkStyle | Row]:
    """Label and colour of the teacher and of every row of the ablation, in the order of ``params.rows``."""
    return {TEACHER: params.teacher, **params.rows}


def labels(shown: Looks) -> dict[str, str]:
    """Label by name.

    Examples:
        >>> labels({"teacher": NetworkStyle()})
        {'teacher': 'Teacher'}
    """
    return {name: look.label for name, look in shown.items()}

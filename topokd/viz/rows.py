"""Labels, colours and markers of the networks of a profile, from params.yaml, for figures and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topokd.params import NetworkStyle, Params, Row
from topokd.project import TEACHER
from topokd.viz.style import line_style

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


def signs(networks: Iterable[str]) -> dict[str, dict[str, str]]:
    """Marker and line style by network, from its place among all networks of the profile.

    A figure of some of them takes these, so that each has one marker in all figures, as it has one colour.

    Args:
        networks: all networks of the profile in their order; a second mention of a network does not count.

    Examples:
        >>> signs(["teacher", "plain", "full", "plain"])["full"]
        {'marker': 'D', 'linestyle': '-'}
    """
    return {name: line_style(place) for place, name in enumerate(dict.fromkeys(networks))}

"""The colours of the rows can be told apart by readers with each kind of colour blindness."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from jaxtyping import Float64
from numpy import ndarray

from tests.conftest import PROJECT
from topokd import params as P
from topokd.viz.results import validation_figure
from topokd.viz.rows import looks
from topokd.viz.style import HOMOLOGY
from topokd.viz.training import TERM_COLORS

FAR = 12.0  # CIEDE2000; about 2 can just be seen side by side (Mahy et al. 1994)
# Machado, Oliveira and Fernandes (2009), severity 1: what is left of linear RGB without one kind of cone.
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
Color = Float64[ndarray, "3"]


def seen(color: str, sight: str) -> Color:
    """CIE L*a*b* (D65) of ``#rrggbb`` as a reader with that sight sees it."""
    share = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(SIGHT[sight] @ linear, 0, 1) / XYZ.sum(1)
    f, g, h = (np.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return np.array([116 * g - 16, 500 * (f - g), 200 * (g - h)])


def difference(one: Color, other: Color) -> float:
    """CIEDE2000 (Sharma, Wu and Dalal 2005)."""
    chroma = np.mean([np.hypot(*lab[1:]) for lab in (one, other)])
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    (l1, a1, b1), (l2, a2, b2) = one, other
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    cosines = ((1, -30, -0.17), (2, 0, 0.24), (3, 6, 0.32), (4, -63, -0.20))
    t = 1 + sum(weight * np.cos(np.radians(times * hue + shift)) for times, shift, weight in cosines)
    weight_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    by_l = (l2 - l1) / weight_l
    by_c = (c2 - c1) / (1 + 0.045 * chroma)
    by_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * t)
    rotation = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    mixed = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(rotation) * by_c * by_h
    return float(np.sqrt(by_l**2 + by_c**2 + by_h**2 + mixed))


def closest(colors: dict[str, str], sight: str) -> tuple[float, str, str]:
    """Smallest difference between two of the colours, and whose they are."""
    return min((difference(seen(colors[a], sight), seen(colors[b], sight)), a, b) for a, b in combinations(colors, 2))


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_of_rows_terms_and_degrees_differ_under_every_colour_blindness(sight: str) -> None:
    rows = {name: look.color for name, look in looks(P.load(PROJECT / "params.yaml")).items()}
    assert len(rows) >= 6
    near, *two = closest(rows, sight)
    assert near > FAR, f"readers with {sight} take the colours of the rows {' and '.join(two)} for each other"
    near, *two = closest(TERM_COLORS, sight)
    assert near > FAR, f"readers with {sight} take the colours of the terms {' and '.join(two)} for each other"
    assert closest({f"H{degree}": color for degree, color in enumerate(HOMOLOGY)}, sight)[0] > FAR


def test_a_row_that_adds_one_term_has_the_colour_of_that_term() -> None:
    rows = P.load(PROJECT / "params.yaml").rows
    assert {term: rows[row].color for term, row in (("kd", "kd"), ("topo", "kd_topo"), ("grad", "kd_grad"))} == {
        term: TERM_COLORS[term] for term in ("kd", "topo", "grad")
    }


def test_rows_that_a_colour_does_not_tell_apart_have_another_marker_or_line() -> None:
    """The comparison's 25 rows: too many for colours alone."""
    params = P.load_profile("comparison")
    shown = {name: looks(params)[name] for name in params.train_rows}
    alike = [
        (a, b)
        for a, b in combinations(shown, 2)
        if min(difference(*(seen(shown[row].color, sight) for row in (a, b))) for sight in SIGHT) < FAR
    ]
    assert len(shown) == 25 and len(alike) > 20
    steps = [100, 200]
    curves = {name: (steps, np.full((2, 2), float(k))) for k, name in enumerate(shown)}
    figure = validation_figure(curves, {}, shown, "Student", "2 scans")
    drawn = {line.get_label(): (line.get_marker(), line.get_linestyle()) for line in figure.axes[0].get_lines()}
    signs = {name: drawn[look.label] for name, look in shown.items()}
    assert [(a, b) for a, b in alike if signs[a] == signs[b]] == []
    plt.close(figure)


def test_red_and_green_of_one_lightness_are_noticed() -> None:
    pair = {"red": "#b85450", "green": "#6c7f3c"}
    assert closest(pair, "full")[0] > 30
    assert closest(pair, "deuteranopia")[0] < FAR


@pytest.mark.parametrize(
    ("one", "other", "expected"),  # of the table in Sharma, Wu and Dalal (2005)
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_the_difference_is_that_of_the_standard(one: Color, other: Color, expected: float) -> None:
    assert difference(np.array(one, dtype=float), np.array(other, dtype=float)) == pytest.approx(expected, abs=1e-4)

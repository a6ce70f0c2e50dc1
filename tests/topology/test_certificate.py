"""Certificates: those of every engine are accepted, and a corrupted one never is."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.clouds import clouds, random_cloud, random_distances
from topokd.errors import CertificateError, DataError, ParameterError
from topokd.experiments.shapes import circle, features
from topokd.topology import Persistence, certificate, vietoris_rips
from topokd.topology.certificate import Certificate, check


@settings(max_examples=150, deadline=None)
@given(
    points=clouds(40), share=st.sampled_from([None, 0.3, 0.7]), single=st.booleans(), max_dim=st.sampled_from([0, 1])
)
def test_the_diagrams_of_hard_clouds_are_proved(
    points: np.ndarray, share: float | None, single: bool, max_dim: int
) -> None:
    x = points.astype(np.float32) if single else points
    threshold = None if share is None else share * float(np.ptp(points, axis=0).max())
    check(x, vietoris_rips(x, threshold=threshold, max_dim=max_dim, certificate=True), threshold=threshold)


@pytest.mark.parametrize("engine", ["reduced", "giotto-ph", "reference"])
@pytest.mark.parametrize("seed", range(6))
def test_every_engine_is_proved_on_arbitrary_distances(engine: str, seed: int) -> None:
    d = random_distances(seed, 14)
    d[d > 4] = np.inf
    check(d, vietoris_rips(d, metric="precomputed", engine=engine, certificate=True), metric="precomputed")


@pytest.mark.parametrize("points", [circle, features], ids=["circle", "features"])
def test_a_larger_cloud_is_proved_and_the_certificate_is_small(points: Callable[..., np.ndarray]) -> None:
    x = points(300, np.random.default_rng(1))
    persistence = vietoris_rips(torch.from_numpy(x).requires_grad_(True), certificate=True)
    check(x, persistence)
    assert len(persistence.diagrams[1]) > 10
    assert len(persistence.certificate.cocycle) + len(persistence.certificate.witness) < 2 * 300**2


def test_the_checker_imports_no_engine() -> None:
    imported = [
        name.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(ast.parse(Path(certificate.__file__).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    ]
    assert {name.split(".")[0] for name in imported if "topokd" not in name} <= {
        "__future__",
        "dataclasses",
        "typing",
        "numpy",
        "jaxtyping",
    }
    assert {name for name in imported if "topokd" in name} == {"topokd.errors"}


@pytest.mark.invalid_arguments
def test_a_list_of_clouds_is_sent_back_cloud_by_cloud() -> None:
    with pytest.raises(DataError, match="persistence is a list: check each cloud with its own"):
        check([POINTS, POINTS], [FOUND, FOUND])


# -- corruptions: each makes a false claim, in the diagrams or in the proof

POINTS = circle(24, np.random.default_rng(5), 0.2)
FOUND = vietoris_rips(POINTS, certificate=True)
PROOF: Certificate = FOUND.certificate
ROWS = len(FOUND.diagrams[1])


def longest() -> int:
    """The class of the certificate that lives longest."""
    f = PROOF.filtration
    death = [max(f[a, b], f[a, c], f[b, c]) for a, b, c in PROOF.death]
    return int(np.argmax(np.array(death) - f[tuple(PROOF.birth.T)]))


def changed(array: np.ndarray, place: object, value: object) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


def without_class(k: int) -> Certificate:
    parts = np.split(PROOF.cocycle, PROOF.start[1:-1])
    kept = [part for number, part in enumerate(parts) if number != k]
    return replace(
        PROOF, birth=np.delete(PROOF.birth, k, 0), death=np.delete(PROOF.death, k, 0),
        start=np.cumsum([0, *map(len, kept)]), cocycle=np.concatenate([np.empty(0, np.int32), *kept]),
    )  # fmt: skip


def without_edge(k: int, at: int) -> Certificate:
    start = PROOF.start.copy()
    start[k + 1 :] -= 1
    return replace(PROOF, start=start, cocycle=np.delete(PROOF.cocycle, PROOF.start[k] + at))


def created_at() -> int:
    """Position of the creating edge of the longest class."""
    return int(PROOF.cocycle[PROOF.start[longest()] : PROOF.start[longest() + 1]].min())


K = longest()
TWO = sorted(range(len(PROOF.birth)))[:2]
CERTIFICATES: dict[str, Callable[[], Certificate | None]] = {
    "no certificate": lambda: None,
    "a class left out": lambda: without_class(K),
    "a class left out, its edge given a witness": lambda: replace(
        without_class(K), witness=changed(PROOF.witness, created_at(), 0)
    ),
    "a class invented": lambda: replace(PROOF, witness=changed(PROOF.witness, -1, -1)),
    "a class that never dies": lambda: replace(PROOF, death=changed(PROOF.death, K, -1)),
    "killed earlier": lambda: replace(PROOF, death=changed(PROOF.death, K, np.sort([*PROOF.birth[K], 0]))),
    "killed by another triangle": lambda: replace(
        PROOF, death=changed(PROOF.death, (K, 0), (PROOF.death[K, 0] + 1) % 24)
    ),
    "killed by a segment": lambda: replace(PROOF, death=changed(PROOF.death, (K, 0), PROOF.death[K, 1])),
    "two deaths swapped": lambda: replace(PROOF, death=changed(PROOF.death, TWO, PROOF.death[TWO[::-1]])),
    "two births swapped": lambda: replace(PROOF, birth=changed(PROOF.birth, TWO, PROOF.birth[TWO[::-1]])),
    "a vertex that does not exist": lambda: replace(PROOF, death=changed(PROOF.death, (K, 2), 99)),
    "a cocycle without its first edge": lambda: without_edge(K, 0),
    "a cocycle without its last edge": lambda: without_edge(K, -1 + int(PROOF.start[K + 1] - PROOF.start[K])),
    "a cocycle with an edge twice": lambda: replace(
        PROOF, cocycle=changed(PROOF.cocycle, PROOF.start[K] + 1, PROOF.cocycle[PROOF.start[K]])
    ),
    "a cocycle of another class": lambda: replace(PROOF, start=changed(PROOF.start, 1, PROOF.start[1] + 1)),
    "a cocycle with an edge that never enters": lambda: replace(PROOF, cocycle=changed(PROOF.cocycle, 0, 10**6)),
    "no cocycles": lambda: replace(PROOF, cocycle=PROOF.cocycle[:0], start=np.zeros_like(PROOF.start)),
    "a witness that joins later": lambda: replace(PROOF, witness=changed(PROOF.witness, 0, 5)),
    "a witness that is an end": lambda: replace(PROOF, witness=changed(PROOF.witness, -1, edges()[-1, 0])),
    "a witness that does not exist": lambda: replace(PROOF, witness=changed(PROOF.witness, -1, 24)),
    "a witness too few": lambda: replace(PROOF, witness=PROOF.witness[:-1]),
    "the filtration of another cloud": lambda: replace(PROOF, filtration=PROOF.filtration * 1.01),
    "one distance changed": lambda: replace(
        PROOF, filtration=changed(PROOF.filtration, ([1, 2], [2, 1]), PROOF.filtration[1, 2] * (1 + 1e-6))
    ),
    "an asymmetric filtration": lambda: replace(
        PROOF, filtration=changed(PROOF.filtration, (1, 2), np.nextafter(PROOF.filtration[1, 2], 9))
    ),
    "edges left out": lambda: replace(PROOF, limit=1.0),
}


def edges() -> np.ndarray:
    i, j = np.triu_indices(24, 1)
    order = np.argsort(PROOF.filtration[i, j], kind="stable")
    return np.stack([i[order], j[order]], axis=1)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_corrupted_certificate_is_rejected(name: str) -> None:
    check(POINTS, FOUND)
    with pytest.raises(CertificateError, match="the certificate is invalid"):
        check(POINTS, replace(FOUND, certificate=CERTIFICATES[name]()))


def with_rows(dim: int, change: Callable[[list[torch.Tensor]], list[torch.Tensor]]) -> Persistence:
    three = [FOUND.diagrams, FOUND.birth_simplices, FOUND.death_simplices]
    new = [list(one) for one in three]
    for one, value in zip(new, change([one[dim].clone() for one in three]), strict=True):
        one[dim] = value
    return replace(FOUND, diagrams=new[0], birth_simplices=new[1], death_simplices=new[2])


LIES: dict[str, Callable[[], Persistence]] = {
    "a pair left out": lambda: with_rows(1, lambda three: [one[1:] for one in three]),
    "a pair twice": lambda: with_rows(1, lambda three: [torch.cat([one, one[:1]]) for one in three]),
    "a value": lambda: with_rows(1, lambda three: [three[0] * (1 + 1e-6), *three[1:]]),
    "births and deaths of two pairs mixed": lambda: with_rows(1, lambda three: [*three[:2], three[2].flip(0)]),
    "a component left out": lambda: with_rows(0, lambda three: [one[:-1] for one in three]),
    "the wrong component dies": lambda: with_rows(0, lambda three: [three[0], three[1].flip(0), three[2]]),
    "another merging edge": lambda: with_rows(
        0, lambda three: [*three[:2], torch.cat([three[2][:-1], torch.from_numpy(edges()[-1:].copy())])]
    ),
    "a component that lives on": lambda: replace(
        FOUND,
        essential=[torch.zeros(2, dtype=torch.float64), FOUND.essential[1]],
        essential_simplices=[torch.tensor([[0], [1]]), FOUND.essential_simplices[1]],
    ),
    "a class that lives on": lambda: replace(
        FOUND,
        essential=[FOUND.essential[0], torch.ones(1, dtype=torch.float64)],
        essential_simplices=[FOUND.essential_simplices[0], torch.tensor([[0, 1]])],
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_diagram_that_is_not_the_one_proved_is_rejected(name: str) -> None:
    with pytest.raises(CertificateError, match="the certificate is invalid"):
        check(POINTS, LIES[name]())


def test_a_certificate_proves_one_cloud_and_one_threshold() -> None:
    with pytest.raises(CertificateError, match="distances of point"):
        check(POINTS[::-1], FOUND)
    with pytest.raises(CertificateError, match="enter above"):
        check(POINTS, FOUND, threshold=0.5)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_change_of_one_number_is_rejected_or_proves_the_same(seed: int) -> None:
    """Some changes are harmless, as another witness of the same edge; none makes a false diagram pass."""
    rng = np.random.default_rng(seed)
    x = random_cloud(seed, 25)
    persistence = vietoris_rips(x, certificate=True)
    proof, refused = persistence.certificate, 0
    for field in ("witness", "birth", "death", "start", "cocycle"):
        array = getattr(proof, field)
        if not array.size:
            continue
        place = int(rng.integers(array.size))
        other = array.copy()
        other.flat[place] += rng.choice([-2, -1, 1, 2])
        try:
            check(x, replace(persistence, certificate=replace(proof, **{field: other})))
        except CertificateError:
            refused += 1
        else:
            assert field in ("witness", "cocycle")
    assert refused or not len(proof.birth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"certificate": True, "max_dim": 2}, "degrees 0 and 1"),
        ({"cycles": True, "max_dim": 0}, "choose max_dim=1"),
        ({"certificate": True, "time_limit": 1.0}, "leave out time_limit"),
    ],
    ids=["degree 2", "degree 0", "time limit"],
)
def test_requests_that_cannot_be_met_are_rejected(options: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        vietoris_rips(POINTS, **options)

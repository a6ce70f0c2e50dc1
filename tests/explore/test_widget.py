"""The explorer's messages from the browser, without a browser."""

from __future__ import annotations

import io
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from topokd.errors import DataError
from topokd.explore import Session
from topokd.explore.widget import Explorer


@pytest.fixture(autouse=True)
def no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))


def saved(points: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, points)
    return stream.getvalue()


def send(explorer: Explorer, task: str, buffers: list[bytes] = [], **content: Any) -> None:  # noqa: B006
    explorer._receive(explorer, {"task": task, **content}, list(buffers))


def features(columns: int, rows: int = 30) -> np.ndarray:
    return np.random.default_rng(columns).normal(size=(rows, columns))


def test_two_files_are_a_student_and_a_teacher_by_their_names():
    explorer = Explorer(Session("loss", points=20))
    send(explorer, "upload", [saved(features(8)), saved(features(4))], names=["My Teacher.npy", "a.npy"])
    assert not explorer.failed and explorer.status == ""
    assert explorer.session.choice.source == "a.npy, My Teacher.npy"
    student, teacher = explorer.scene["clouds"]
    assert (student["columns"], teacher["columns"]) == (4, 8)
    assert (student["label"], teacher["label"]) == ("student", "teacher")


def test_one_file_is_compared_with_itself_disturbed_and_says_so():
    explorer = Explorer(Session("loss", points=20))
    send(explorer, "upload", [saved(features(4))], names=["mine.npy"])
    assert [cloud["label"] for cloud in explorer.scene["clouds"]] == ["mine.npy, disturbed", "mine.npy"]


@pytest.mark.parametrize(
    ("kind", "files", "words"),
    [
        ("loss", {"a.npy": 30, "b.npy": 20}, "student has 30 rows and teacher 20"),
        ("loss", {"a.npy": 30, "b.npy": 30, "c.npy": 30}, "3 files are given: choose one or two"),
        ("filtration", {"a.npy": 30, "b.npy": 30}, "2 files are given: choose one"),
        ("filtration", {"a.npy": 2}, "a.npy has the shape"),
    ],
)
def test_files_that_do_not_fit_are_rejected_and_the_picture_stays(kind: Any, files: dict[str, int], words: str):
    explorer = Explorer(Session(kind, points=20))
    explorer.load()
    before = explorer.scene
    send(explorer, "upload", [saved(features(4, rows)) for rows in files.values()], names=list(files))
    assert explorer.failed and words in explorer.status
    assert explorer.scene is before and explorer.session.choice.source == "circle"


def test_new_points_have_no_steps_and_no_cycles_of_the_old_ones():
    explorer = Explorer(Session("loss", points=20))
    explorer.load()
    send(explorer, "step", size=0.02)
    send(explorer, "cycles")
    assert explorer.changes and explorer.cycles
    send(explorer, "choose", changes={"source": "torus"})
    assert explorer.changes == {} and explorer.cycles == []


def test_starting_again_clears_the_message_of_a_failed_step():
    explorer = Explorer(Session("loss", points=20))
    explorer.load()
    send(explorer, "step", size=7.0)
    assert explorer.failed and "size is 7.0" in explorer.status
    send(explorer, "reset")
    assert not explorer.failed and explorer.status == ""


def test_a_warning_that_kernels_compile_stays_while_the_steps_go_on(monkeypatch: pytest.MonkeyPatch):
    explorer = Explorer(Session("filtration", points=20))
    lines: list[str] = []
    explorer.observe(lambda change: lines.append(change["new"]), "status")
    scene = explorer.session.scene

    def slow_scene() -> dict[str, Any]:
        logging.getLogger("topokd.topology").warning("compiling kernels: up to 30 s")
        return scene()

    monkeypatch.setattr(explorer.session, "scene", slow_scene)
    send(explorer, "ready")
    assert lines[-1] == "" and len(lines) > 2
    assert all("up to 30 s" in line for line in lines[:-1])
    send(explorer, "cycles")
    assert not any("up to 30 s" in line for line in lines[lines.index("") :])  # that was for the first task


def failing(error: BaseException) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("kind", ["filtration", "loss"])
@pytest.mark.parametrize("error", [DataError("this engine failed"), MemoryError("no memory"), KeyboardInterrupt()])
def test_what_cannot_be_shown_is_not_chosen(kind: Any, error: BaseException, monkeypatch: pytest.MonkeyPatch):
    explorer = Explorer(Session(kind, points=20))
    explorer.load()
    if kind == "loss":
        send(explorer, "step", size=0.02)
    before, menus, steps = explorer.scene, explorer.choosers, explorer.session.steps
    with monkeypatch.context() as patch:
        for module in ("session", "steps"):
            patch.setattr(f"topokd.explore.{module}.persistence_of", failing(error))
        send(explorer, "choose", changes={"source": "torus"})
        assert explorer.failed and explorer.status.endswith("The picture has not changed.")
        send(explorer, "upload", [saved(features(4))], names=["mine.npy"])
        assert explorer.failed
        with pytest.raises(type(error)):
            explorer.choose(points=64)
    assert explorer.scene is before and explorer.choosers == menus == explorer.session.choosers()
    assert explorer.session.own == {} and explorer.session.steps is steps
    if kind == "loss":  # and the picture can be worked with
        send(explorer, "step", size=0.02)
        assert not explorer.failed and len(explorer.changes["loss"]["history"]) == 3


def test_an_equal_picture_is_sent_again_because_the_browser_may_show_steps():
    explorer = Explorer(Session("loss", points=20))
    explorer.load()
    send(explorer, "step", size=0.02)
    sent: list[str] = []
    explorer.observe(lambda change: sent.append(change.name), names=["scene"])
    send(explorer, "choose", changes={"engine": "reduced"})
    assert sent == ["scene"] and explorer.session.steps is not None and len(explorer.session.steps.history) == 1


def test_a_cell_and_the_browser_do_not_compute_at_the_same_time(monkeypatch: pytest.MonkeyPatch):
    """JupyterLab handles messages of the browser in a thread, next to cells."""
    explorer = Explorer(Session("loss", points=20))
    explorer.load()
    entered, leave, scene = threading.Event(), threading.Event(), explorer.session.scene

    def slow() -> dict[str, Any]:
        entered.set()
        assert leave.wait(60)
        return scene()

    monkeypatch.setattr(explorer.session, "scene", slow)
    threads = [
        threading.Thread(target=lambda: send(explorer, "choose", changes={"source": "torus"})),
        threading.Thread(target=explorer.step),
    ]
    threads[0].start()
    assert entered.wait(60)
    threads[1].start()
    threads[1].join(0.5)
    assert explorer.changes == {} and threads[1].is_alive()  # the step waits for the torus
    leave.set()
    for thread in threads:
        thread.join(60)
    assert not explorer.failed and len(explorer.changes["loss"]["history"]) == 2

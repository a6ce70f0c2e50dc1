"""The explorer in a notebook: a session behind an anywidget."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anywidget
import traitlets

from topokd.errors import DataError, TopokdError
from topokd.explore.files import check_pair, read_upload
from topokd.explore.frontend import module, style
from topokd.explore.packing import pack
from topokd.explore.session import Session

log = logging.getLogger(__name__)


class _Shown(logging.Handler):
    """Shows topokd's warnings, such as that kernels are being compiled, in an explorer's line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        self.say(record.getMessage())


class Explorer(anywidget.AnyWidget):
    """Shows a `Session`. It computes when it is first displayed, with a line that says what is being done.

    Args:
        session: the session to show.

    Examples:
        >>> explorer = Explorer(Session("filtration", points=64))
        >>> explorer.load()
        >>> explorer.scene["clouds"][0]["label"]
        'circle'
    """

    _esm = module()
    _css = style()
    kind = traitlets.Unicode().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    choosers: traitlets.List[Any] = traitlets.List().tag(sync=True)
    changes = traitlets.Dict().tag(sync=True)
    cycles: traitlets.List[Any] = traitlets.List().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    failed = traitlets.Bool(False).tag(sync=True)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session, self.kind = session, session.kind
        self._warned = ""
        # JupyterLab 4.4 handles messages of the browser in a separate thread, while a cell may be running.
        self._one_at_a_time = threading.RLock()
        session.say = self._say
        self.choosers = session.choosers()
        self.on_msg(self._receive)

    def load(self) -> None:
        """Compute what is chosen, and show it."""
        with self._one_at_a_time:
            scene = pack(self.session.scene())
            self.changes, self.cycles = {}, []  # those of the points shown before
            # Equal values are not sent again, and the browser would keep showing the steps taken from an equal scene.
            self.scene = {**scene, "number": self.scene.get("number", 0) + 1}
            self.choosers = self.session.choosers()
            self.status = ""

    def choose(self, **changes: Any) -> None:
        """Choose as the user does, for example ``choose(source="torus", points=512)``.

        If the choice cannot be shown, the previous one and its picture stay.

        Raises:
            ParameterError: for a value that cannot be chosen, listing those that can.
        """
        with self._one_at_a_time, self._all_or_nothing():
            self.session.choose(**changes)
            self.choosers = self.session.choosers()
            self.load()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """If the block fails, the menus go back to what the picture shows; without a picture they stay as they are."""
        if not self.scene:
            yield
            return
        try:
            with self.session.all_or_nothing():
                yield
        finally:
            self.choosers = self.session.choosers()

    @property
    def state(self) -> dict[str, Any]:
        """The choices and the view (scale, chosen pair, switches, cameras), JSON-serialisable."""
        chosen = {one["name"]: one["value"] for one in self.session.choosers()}
        return {"choices": chosen, "view": dict(self.view)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Show what `state` was when it was saved.

        Raises:
            ParameterError: for choices that this project does not offer.

        Examples:
            >>> explorer = Explorer(Session("filtration", points=64))
            >>> explorer.choose(source="torus")
            >>> again = Explorer(Session("filtration", points=64))
            >>> again.restore(explorer.state)
            >>> again.session.choice.source
            'torus'
        """
        with self._one_at_a_time, self._all_or_nothing():
            self.session.choose(**state["choices"])
            self.choosers = self.session.choosers()
            self.view = dict(state.get("view", {}))
            self.load()

    def step(self, size: float = 0.02, way: str | None = None) -> None:
        """One gradient step, see `Session.step`."""
        with self._one_at_a_time:
            self.changes = pack(self.session.step(size, way))
            self.status = ""

    def _say(self, text: str) -> None:
        warned = f" ({self._warned})" if self._warned else ""
        self.failed, self.status = False, f"{text} ...{warned}"

    def _warn(self, text: str) -> None:
        """Show a warning now, and with the steps that follow: kernels are compiled during those."""
        self._say(text)
        self._warned = text

    def _receive(self, _widget: object, content: dict[str, Any], buffers: list[Any]) -> None:
        """A message of the browser: errors are shown in the explorer's own line."""
        tasks: dict[str, Callable[[], None]] = {
            "ready": lambda: None if self.scene else self.load(),
            "choose": lambda: self.choose(**content["changes"]),
            "step": lambda: self.step(float(content["size"]), content.get("way")),
            "reset": self._reset,
            "cycles": self._cycles,
            "upload": lambda: self._upload([str(name) for name in content["names"]], [bytes(one) for one in buffers]),
        }
        task = tasks.get(content.get("task", ""))
        if task is not None:
            with self._one_at_a_time:
                self._do(task, content)

    def _do(self, task: Callable[[], None], content: dict[str, Any]) -> None:
        shown = _Shown(self._warn)
        self._warned = ""
        logging.getLogger("topokd").addHandler(shown)
        try:
            self.failed = False
            task()
        except TopokdError as error:
            self._fail(str(error))
        except KeyboardInterrupt:  # by the button of a Jupyter that has no such threads
            self._fail("interrupted")
        except Exception as error:
            log.exception("the explorer could not do %s", content.get("task"))
            self._fail(f"{type(error).__name__}: {error}")
        finally:
            logging.getLogger("topokd").removeHandler(shown)

    def _fail(self, words: str) -> None:
        """Say what went wrong, and that the picture has not changed; nor have the menus then."""
        self.failed, self.status = True, words + (". The picture has not changed." if self.scene else "")

    def _reset(self) -> None:
        self.changes = pack(self.session.reset())
        self.status = ""

    def _cycles(self) -> None:
        self.cycles = pack(self.session.cycles())
        self.status = ""

    def _upload(self, names: list[str], contents: list[bytes]) -> None:
        """One file, or for a loss two: the student's, and the teacher's, which comes second or says so in its name."""
        most = 2 if self.session.kind == "loss" else 1
        if len(names) > most:
            raise DataError(f"{len(names)} files are given: choose {'one or two' if most == 2 else 'one'}")
        files = sorted(zip(names, contents, strict=True), key=lambda file: "teacher" in file[0].lower())
        self._say(f"Reading {' and '.join(name for name, _ in files)}")
        points = [read_upload(name, data) for name, data in files]
        name = ", ".join(name for name, _ in files)
        with self._all_or_nothing():
            self.session.add(name, points[0] if len(points) == 1 else check_pair(points[0], points[1]))
            self.load()

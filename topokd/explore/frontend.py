"""The front end: the modules of web/ as one ES module, for notebooks and pages."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

MODULES = (
    "data", "store", "camera", "shaders", "cover", "strokes", "cloud_view", "plot", "filtration", "components",
    "diagram", "barcode", "controls", "scan_colors", "loss_panel", "export", "keys", "panels", "view_state",
    "page", "main",
)  # fmt: skip
"""In the order of their imports."""

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const)\b)", re.MULTILINE)


def read_web(name: str) -> str:
    """A file of web/."""
    return (files("topokd.explore") / "web" / name).read_text(encoding="utf-8")


@cache
def module() -> str:
    """All modules one after the other, with anywidget's `render` as default export; it loads nothing."""
    parts = [_EXPORT.sub("", _IMPORT.sub("", read_web(f"{name}.js"))) for name in MODULES]
    return "\n".join([*parts, "export default { render };\n"])


@cache
def style() -> str:
    """The style sheet."""
    return read_web("explorer.css")

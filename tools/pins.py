"""Write constraints.txt: the exact version of every package that topokd's extras bring, as installed here.

python tools/pins.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("paper", "onnx", "test", "lint", "docs")  # what tools/setup.sh installs
OTHER_PYTHONS = {"tomli": "2.5.0"}  # needed on Python 3.10 only, so not installed where this runs


def requirements(extras: Iterable[str] = ()) -> list[str]:
    """Requirements in pyproject.toml of the core and of `extras`; extras of topokd itself are expanded."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted, texts = list(extras), list(project["dependencies"])
    for extra in wanted:  # grows while it is read
        for text in project["optional-dependencies"][extra]:
            requirement = Requirement(text)
            if requirement.name == "topokd":
                wanted += sorted(requirement.extras - set(wanted))
            else:
                texts.append(text)
    return texts


def closure(texts: Iterable[str]) -> dict[str, str]:
    """Name and installed version of every requirement and all that it needs in turn, on this machine."""
    waiting = [Requirement(text) for text in texts]
    seen: set[tuple[str, str]] = set()
    versions: dict[str, str] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                package = distribution(name)
            except PackageNotFoundError as error:
                raise SystemExit(f"{requirement} is not installed: remove .venv and run `make check`") from error
            versions[name] = package.version.partition("+")[0]
            needs = [Requirement(text) for text in package.requires or ()]
            waiting += [r for r in needs if r.marker is None or r.marker.evaluate({"extra": extra})]
    return versions


if __name__ == "__main__":
    pins = closure(requirements(EXTRAS)) | OTHER_PYTHONS
    (ROOT / "constraints.txt").write_text("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
    print(f"constraints.txt: {len(pins)} packages")

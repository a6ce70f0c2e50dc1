#!/usr/bin/env bash
# Create .venv with the pinned packages of constraints.txt and topokd itself, on Python 3.10-3.12. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."

for candidate in "${PYTHON:-python3}" python3.11 python3.12 python3.10; do
  if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "${python:-}" ]; then
  echo "topokd needs Python 3.10, 3.11 or 3.12; name one: make PYTHON=/path/to/python3.11 ..." >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "$python cannot create virtual environments: install its venv module (Debian: apt-get install python3-venv)" >&2
  exit 1
fi

echo "setting up .venv with $("$python" --version) (about 2 minutes and 3 GB)"
"$python" -m venv --clear .venv
install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"; }
# torch first and by its exact version: where pip is configured with an index of CPU builds, it takes one
install "$TORCH"
install --editable '.[paper,onnx,test,lint,docs]'
# In a copy without .git, such as an archive from Zenodo, DVC must be set to work without it.
if [ ! -e .git ] && ! grep -qs no_scm .dvc/config.local; then
  .venv/bin/dvc config --local core.no_scm true
fi
touch .venv/ready

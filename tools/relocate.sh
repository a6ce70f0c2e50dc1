#!/usr/bin/env bash
# Correct the absolute paths in .venv after the project's folder was renamed, moved or copied. The Makefile calls it first;
# where nothing has moved it does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d .venv ] && [ ! -L .venv ] && [ -f .venv/bin/activate ] || exit 0
was=$(sed -n "s/^ *\(export \)\{0,1\}VIRTUAL_ENV=[\"']\{0,1\}\([^\"'\$(]*\)[\"']\{0,1\}\$/\2/p" .venv/bin/activate | head -n 1)
here=$PWD/.venv
[ -n "$was" ] && [ "$was" != "$here" ] || exit 0
old=${was%/.venv} new=${here%/.venv}
echo "this folder was $old: correcting the paths in .venv" >&2
escaped() { printf '%s' "$1" | sed 's/[][\.*^$&]/\\&/g'; }
mark=$'\001'  # between the parts of a sed command: no path holds it
shopt -s nullglob
packages=(.venv/lib/python*/site-packages)
places=(.venv/pyvenv.cfg .venv/share "${packages[0]}"/*.pth "${packages[0]}"/__editable__* "${packages[0]}"/topokd-*.dist-info)
# The activate scripts come last: should this be interrupted, the next call begins again.
for pass in programs activate; do
  if [ "$pass" = programs ]; then found=("${places[@]}" .venv/bin); else found=(.venv/bin/[aA]ctivate*); fi
  { grep -rlIF --null -- "$old" "${found[@]}" 2>/dev/null || true; } | while IFS= read -r -d '' file; do
    case $pass:$file in programs:.venv/bin/[aA]ctivate*) continue ;; esac
    sed -i "s$mark$(escaped "$old")\([^[:alnum:]_.-]\|\$\)$mark$(escaped "$new")\1${mark}g" "$file"
  done
done

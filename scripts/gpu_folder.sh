#!/usr/bin/env bash
# Usage: scripts/gpu_folder.sh FOLDER [PYTHON]
# Make a folder that stands alone on a GPU machine without a network: the last commit and, in FOLDER/wheels, the packages
# that such a machine lacks beside PyTorch, Lightning and the usual scientific ones, for Python 3.12 on x86-64 Linux.
# There: FOLDER/scripts/gpu_check.sh OUTPUT
set -euo pipefail
folder=$(mkdir -p "${1:?usage: scripts/gpu_folder.sh FOLDER [PYTHON]}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
pip=("${2:-python3}" -m pip --disable-pip-version-check)
[ -z "$(ls -A "$folder")" ] || { echo "$folder: is not empty; name a new folder" >&2; exit 2; }

versions() { # NAME … as NAME==VERSION, as constraints.txt has them
    for name in "$@"; do grep -x "$name==.*" constraints.txt; done
}

git archive HEAD | tar -x -C "$folder"
# A compiled package has one wheel for each Python and system; the names of the systems are those that pip knows.
mapfile -t compiled < <(versions pydantic-core)
"${pip[@]}" download --quiet --no-deps --only-binary=:all: --implementation cp --python-version 3.12 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$folder/wheels" "${compiled[@]}"
mapfile -t pure < <(versions annotated-types antlr4-python3-runtime hydra-core omegaconf pydantic submitit typing-inspection)
"${pip[@]}" wheel --quiet --no-deps --wheel-dir "$folder/wheels" "${pure[@]}"
du -sh "$folder" && ls "$folder/wheels"

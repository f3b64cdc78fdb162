#!/usr/bin/env bash
# Usage: scripts/gpu_wheels.sh FOLDER [PYTHON]
# Collect the wheels that a GPU machine without a network needs beside PyTorch, Lightning and the usual scientific
# packages, for Python 3.12 on x86-64 Linux. There: python -m pip install --no-index --no-deps --target SITE FOLDER/*.whl
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?usage: scripts/gpu_wheels.sh FOLDER [PYTHON]}
pip=("${2:-python3}" -m pip --disable-pip-version-check)

versions() { # NAME … as NAME==VERSION, as constraints.txt has them
    for name in "$@"; do grep -x "$name==.*" constraints.txt; done
}

mkdir -p "$folder"
rm -f "$folder"/*.whl
# A compiled package has one wheel for each Python and system; the names of the systems are those that pip knows.
mapfile -t compiled < <(versions pydantic-core)
"${pip[@]}" download --quiet --no-deps --only-binary=:all: --implementation cp --python-version 3.12 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$folder" "${compiled[@]}"
mapfile -t pure < <(versions annotated-types antlr4-python3-runtime hydra-core omegaconf pydantic submitit typing-inspection)
"${pip[@]}" wheel --quiet --no-deps --wheel-dir "$folder" "${pure[@]}"
ls -l "$folder"

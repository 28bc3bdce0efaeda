"""How a checkpoint's weights are stored, in one word."""

import json
from pathlib import Path

from models.weight_scheme import quantization_of


def stored_as(folder: Path) -> str | None:
    """`int4`, `int8`, another method's own name, or `none`; None where the folder does not say."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        quantization = quantization_of(config)
    except (OSError, ValueError, RecursionError):
        return None
    if quantization is None:
        return "none"
    groups = quantization.get("config_groups")
    weights = [g.get("weights") for g in groups.values()] if isinstance(groups, dict) else []
    bits = {w.get("num_bits") for w in weights if isinstance(w, dict)} or {quantization.get("bits")}
    only = bits.pop() if len(bits) == 1 else None
    method = quantization.get("quant_method")
    return f"int{only}" if isinstance(only, int) else str(method or "unknown")

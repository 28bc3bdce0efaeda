"""How many bits each matrix has, from a model's `quantization_config` alone.

Exceptions (layers left in 16 bits, layers with other bits) are matched as vLLM 0.32 matches them.
What is not understood is refused by name: a wrong figure here would over-commit a GPU.
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError

from models import quantization_config as published
from models.errors import CheckpointError
from models.kv_layout import text_config
from models.linear_layers import LinearLayer

# Parts that no method rounds or that are counted in 16 bits anyway; exceptions often name them.
NEVER_ROUNDED = re.compile(
    r"head|embed|norm|router|gate\W*$|shared_expert_gate|vis|image|audio|project|mtp", re.IGNORECASE
)
ALIASES = {
    "auto_gptq": "gptq", "gptq_marlin": "gptq", "auto_awq": "awq", "awq_marlin": "awq",
    "compressed_tensors": "compressed-tensors", "intel/auto-round": "auto-round",
    "auto_round": "auto-round", "inc": "auto-round",
}  # fmt: skip


class Scheme(NamedTuple):
    """The rounding of one matrix; 16 bits means none."""

    bits: int
    # Weights with one scale; 0 or less for one scale a row, which an estimate need not count.
    group_size: int = -1
    # Bits of a group's scale and zero point.
    group_bits: int = 0

    def stored_bytes(self, weights: int) -> int:
        """Bytes of a matrix of that many weights."""
        scales = weights // self.group_size * self.group_bits // 8 if self.group_size > 0 else 0
        return weights * self.bits // 8 + scales


PLAIN = Scheme(16)
# W4A16 as `smallfirst quantize` writes it: 16-bit scales, 4-bit zero points.
INT4 = Scheme(4, 128, 16 + 4)
# W8A16 with a scale a row.
INT8 = Scheme(8)
Fits = Callable[[str], bool]


def quantization_of(config: dict[str, Any]) -> dict[str, Any] | None:
    """The part of a `config.json` that says how the weights are stored; None if it says nothing.

    Raises: `CheckpointError` if it is no object.
    """
    for part, key in (
        (config, "quantization_config"),
        (text_config(config), "quantization_config"),
        (config, "compression_config"),
    ):
        if (found := part.get(key)) is not None:
            if not isinstance(found, dict):
                raise CheckpointError(f"config.json: {key!r} must be an object, got {found!r:.60}")
            return found
    return None


def linear_bytes(config: dict[str, Any], layers: Iterable[LinearLayer]) -> int:
    """Bytes of the matrices as the checkpoint stores them.

    Raises: `CheckpointError` for a method, bits or an exception that is not understood, and for a
    matrix that vLLM cannot hold with the others of its module.
    """
    layers = list(layers)
    quantization = quantization_of(config)
    if quantization is None:
        return sum(PLAIN.stored_bytes(layer.weights) * layer.copies for layer in layers)
    rules = _read(quantization)
    _refuse_unmatched(rules.exceptions, layers)
    total = 0
    agreed: dict[str, Scheme] = {}
    for layer in layers:
        scheme = rules.scheme_of(layer)
        if agreed.setdefault(layer.module, scheme) != scheme:
            raise _divided(layer)
        total += scheme.stored_bytes(layer.weights) * layer.copies
    return total


def _divided(layer: LinearLayer) -> CheckpointError:
    return CheckpointError(
        f"config.json: 'quantization_config' gives {layer.name!r} other bits than the rest of "
        f"{layer.module!r}, which vLLM holds as one; vLLM cannot load this"
    )


class _Rules(NamedTuple):
    scheme_of: Callable[[LinearLayer], Scheme]
    # What the configuration treats apart, each with a test of a matrix' name.
    exceptions: dict[str, Fits]


def _read(quantization: dict[str, Any]) -> _Rules:
    name = quantization.get("quant_method")
    method = name.lower() if isinstance(name, str) else None
    reader = _READERS.get(ALIASES.get(method or "", method or ""))
    if reader is None:
        raise CheckpointError(
            f"config.json: the weights of a {name!r:.60} checkpoint cannot be estimated; give the "
            "checkpoint folder"
        )
    try:
        return reader(quantization)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"config.json: 'quantization_config': {key!r:.80}: {first['msg']}; give the checkpoint "
            "folder"
        ) from error
    except (re.error, RecursionError, OverflowError) as error:
        raise CheckpointError(
            f"config.json: 'quantization_config' holds a pattern that is none: {error}"
        ) from error


def _refuse_unmatched(exceptions: dict[str, Fits], layers: list[LinearLayer]) -> None:
    """An exception that fits no matrix would be forgotten in the estimate."""
    names = {name for layer in layers for name in (layer.name, layer.module)}
    for text, matches in exceptions.items():
        if not NEVER_ROUNDED.search(text) and not any(map(matches, names)):
            raise CheckpointError(
                f"config.json: 'quantization_config' treats {text!r:.80} apart, which is no matrix "
                "of this architecture; give the checkpoint folder"
            )


def _gptq(raw: dict[str, Any]) -> _Rules:
    """GPTQ and GPTQModel. Source: vLLM 0.32 `gptq_utils`: the first rule that fits the module."""
    read = published.Gptq.model_validate(raw)
    dynamic = read.dynamic or {}
    fits = {text: _pattern(re.sub("^[-+]:", "", text)) for text in dynamic}
    blocks = read.modules_in_block_to_quantize

    def by_rule(name: str) -> Scheme:
        text = next((text for text in dynamic if fits[text](name)), "")
        if text.startswith("-:"):
            return PLAIN
        rule = dynamic.get(text) or published.Override()
        return _integers(rule.bits or read.bits, rule.group_size or read.group_size)

    def scheme_of(layer: LinearLayer) -> Scheme:
        if blocks and not any(block in layer.name for block in blocks):
            return PLAIN
        scheme = by_rule(layer.name)
        if by_rule(layer.module) != scheme:
            raise _divided(layer)
        return scheme

    return _Rules(scheme_of, fits)


def _awq(raw: dict[str, Any]) -> _Rules:
    """AutoAWQ. Source: vLLM 0.32 `AutoAWQConfig`, `is_layer_skipped` by substring."""
    read = published.Awq.model_validate(raw)
    rounded = Scheme(read.bits, read.group_size, 16 + read.bits * read.zero_point)
    skipped = {part: _contains(part) for part in read.modules_to_not_convert or []}
    return _Rules(lambda layer: PLAIN if _any(skipped, layer.name) else rounded, skipped)


def _fp8(raw: dict[str, Any]) -> _Rules:
    """Float8 by block or tensor. Source: vLLM 0.32 `Fp8Config`, names as they stand."""
    read = published.Fp8.model_validate(raw)
    block = read.weight_block_size
    rounded = Scheme(8, math.prod(block), 32) if block else Scheme(8)
    skipped = {
        part: _equals_or_expert(part)
        for part in read.ignored_layers or read.modules_to_not_convert or []
    }
    return _Rules(lambda layer: PLAIN if _any(skipped, layer.name) else rounded, skipped)


def _compressed(raw: dict[str, Any]) -> _Rules:
    """compressed-tensors. Source: vLLM 0.32 `should_ignore_layer`, `find_matched_target`."""
    read = published.Compressed.model_validate(raw)
    schemes = {
        target: Scheme(group.weights.num_bits, *group.weights.scales)
        for group in read.config_groups.values()
        for target in group.targets
    }
    ignored = {text: _equals_or_pattern(text) for text in read.ignore or []}
    # A class is a part of the class's name in vLLM: `Linear` of `QKVParallelLinear`.
    classes = [text for text in schemes if text.lower() in "linear"]
    by_class = schemes[classes[0]] if classes else PLAIN
    named = {text: _equals_or_pattern(text) for text in schemes if text not in classes}

    def scheme_of(layer: LinearLayer) -> Scheme:
        if _any(ignored, layer.name):
            return PLAIN
        return next((schemes[text] for text, fits in named.items() if fits(layer.name)), by_class)

    return _Rules(scheme_of, ignored | named)


def _auto_round(raw: dict[str, Any]) -> _Rules:
    """AutoRound. Source: vLLM 0.32 `INCConfigParser`: a name, the end of one, or a pattern."""
    read = published.AutoRound.model_validate(raw)
    extra = read.extra_config or {}
    fits = {text: _ends_or_found(text) for text in extra}
    blocks = read.block_name_to_quantize or read.to_quant_block_names

    def scheme_of(layer: LinearLayer) -> Scheme:
        text = next((text for text in extra if fits[text](layer.name)), "")
        rule = extra.get(text) or published.Override()
        inside = not blocks or layer.name.startswith(tuple(blocks))
        bits = rule.bits or (read.bits if inside else PLAIN.bits)
        return PLAIN if bits == 16 else _integers(bits, rule.group_size or read.group_size)

    return _Rules(scheme_of, fits)


def _integers(bits: int, group_size: int) -> Scheme:
    """GPTQ's format, which stores zero points for symmetric weights too."""
    return Scheme(bits, group_size, 16 + bits)


def _any(tests: dict[str, Fits], name: str) -> bool:
    return any(fits(name) for fits in tests.values())


def _pattern(text: str) -> Fits:
    pattern = re.compile(text)
    return lambda name: pattern.match(name) is not None


def _contains(text: str) -> Fits:
    return lambda name: text in name


def _equals_or_expert(text: str) -> Fits:
    return lambda name: name == text or ("experts" in text and ".experts.0" in name)


def _equals_or_pattern(text: str) -> Fits:
    return _pattern(text[3:]) if text.startswith("re:") else lambda name: name == text


def _ends_or_found(text: str) -> Fits:
    if set(text) & set("*+?^$()[]{}|\\"):
        pattern = re.compile(text)
        return lambda name: pattern.search(name) is not None
    return lambda name: name == text or name.endswith(f".{text}")


_READERS = {
    "gptq": _gptq,
    "awq": _awq,
    "fp8": _fp8,
    "compressed-tensors": _compressed,
    "auto-round": _auto_round,
}

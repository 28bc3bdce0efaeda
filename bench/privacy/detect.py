"""Recall and precision of the detectors by kind, and their time: `python -m bench.privacy.detect`.

Recall on texts of `synthetic` whose place is known; precision over all texts of the set, so that it
is of this mixture: of 2,700 texts, 1,500 hold nothing and were made to look as if they did.
"""

import platform
import random
import statistics
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.privacy.synthetic import KINDS, rows
from deployments.privacy.policy import NOBODY, Policy
from deployments.settings.privacy import PrivacyConfig

OUT = Path(__file__).with_name("results") / "detect.md"
PAYLOAD_BYTES, PAYLOADS, ROUNDS = 8192, 400, 5
HOW = ("plain", "look-alikes", "invisible", "base64", "unclaimed")


def main(out: Annotated[Path, typer.Option(help="Markdown file to write.")] = OUT) -> None:
    """Write both tables."""
    date = datetime.now(UTC).date()
    machine = f"{platform.machine()}, Python {platform.python_version()}, one core, {date}"
    text = (
        f"# What the detectors find, miss and cost\n{machine}. `python -m bench.privacy.detect`\n"
    )
    out.write_text("\n".join([text, *quality(), "", *cost(), ""]), encoding="utf-8")
    print(out.read_text(encoding="utf-8"))


def found(policy: Policy, text: str) -> set[str]:
    """The kinds that the policy finds in a text, as a request brings it."""
    verdict = policy.judge({"messages": [{"role": "user", "content": text}]}, "auto", NOBODY)
    return set(verdict.local_by)


def quality() -> list[str]:
    """Recall by kind and by how it is written, precision by kind."""
    # Each kind alone, so that no find hides another.
    others = {kind: dict.fromkeys(set(PrivacyConfig().kinds) - {kind}, "ignore") for kind in KINDS}
    policies = {k: Policy(PrivacyConfig(actions=actions)) for k, actions in others.items()}
    hits: dict[str, Counter[str]] = defaultdict(Counter)
    asked: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: Counter[str] = Counter()
    for row in rows():
        for kind, policy in policies.items():
            is_found = bool(found(policy, row["text"]))
            if row["kind"] == kind:
                asked[kind][row["how"]] += 1
                hits[kind][row["how"]] += is_found
            else:
                wrong[kind] += is_found
    lines = [f"| kind | {' | '.join(HOW)} | precision |", "|---" * (len(HOW) + 2) + "|"]
    for kind in KINDS:
        recall = " | ".join(f"{hits[kind][h]}/{asked[kind][h]}" for h in HOW)
        right = sum(hits[kind].values())
        lines.append(f"| {kind} | {recall} | {right}/{right + wrong[kind]} |")
    return lines


def cost() -> list[str]:
    """Milliseconds to judge payloads of 8 kB, made of the set's texts."""
    policy, chance = Policy(PrivacyConfig()), random.Random(7)
    texts = {
        "nothing in it": [row["text"] for row in rows() if row["kind"] is None],
        "all kinds of texts": [row["text"] for row in rows()],
        "prose": ["The quick brown fox jumps over the lazy dog, and 12 times out of 30 it naps."],
        "prose, not ASCII": ["Быстрая лиса прыгает через ленивую собаку 12 раз, señor: ça va?"],
    }
    lines = ["| 8 kB of | p50 ms | p99 ms | payloads |", "|---|---|---|---|"]
    for name, parts in texts.items():
        bodies = [_body(parts, chance) for _ in range(PAYLOADS)]
        times_ms = []
        for body in bodies * ROUNDS:
            started_s = time.perf_counter()
            policy.judge(body, "auto", NOBODY)
            times_ms.append((time.perf_counter() - started_s) * 1e3)
        cuts = statistics.quantiles(times_ms, n=100)
        lines.append(f"| {name} | {cuts[49]:.2f} | {cuts[98]:.2f} | {len(times_ms)} |")
    return lines


def _body(parts: list[str], chance: random.Random) -> dict[str, object]:
    messages, size = [], 0
    while size < PAYLOAD_BYTES:
        text = " ".join(chance.choices(parts, k=8))[: PAYLOAD_BYTES - size]
        messages.append({"role": "user", "content": text})
        size += len(text.encode())
    return {"model": "auto", "messages": messages, "max_tokens": 256}


if __name__ == "__main__":
    typer.run(main)

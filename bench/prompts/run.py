"""A hundred varied prompts through `auto`: tier, cause and latency of each, as a Markdown table.

Run against a started endpoint: `python -m bench.prompts.run --out docs/hundred-prompts.md`.
"""

import statistics
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import openai
import typer
from rich.progress import track

from deployments.commands.endpoint import DEFAULT_URL, CaFile, KeyFile, Url, endpoint_or_exit

PROMPTS = Path(__file__).with_name("prompts.txt")
MAX_TOKENS = 48
# Longest wait for an answer, seconds.
TIMEOUT_S = 120.0


def main(
    out: Annotated[Path, typer.Option(help="Markdown file to write.")],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Send every prompt once, streamed, one after the other, and write the table."""
    client = endpoint_or_exit(url, key_file, ca_file).openai(TIMEOUT_S)
    rows = [
        (kind, text, *ask(client, text))
        for kind, text in track(prompts(), "asking", transient=True)
    ]
    out.write_text(report(rows), encoding="utf-8")
    print(f"wrote {out}")


def prompts() -> list[tuple[str, str]]:
    """(kind, text) of each prompt."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t", 1) for line in lines if line and not line.startswith("#")]
    return [(kind, text) for kind, text in pairs]


def ask(client: openai.OpenAI, text: str) -> tuple[str, str, str, float, float, str]:
    """Tier, cause, score, seconds to the first token and to the last, and the answer."""
    started_s = time.perf_counter()
    raw = client.chat.completions.with_raw_response.create(
        model="auto",
        messages=[{"role": "user", "content": text}],
        max_tokens=MAX_TOKENS,
        temperature=0,
        stream=True,
    )
    first_s, parts = 0.0, []
    with raw.parse() as events:
        for event in events:
            first_s = first_s or time.perf_counter() - started_s
            parts += [c.delta.content for c in event.choices if c.delta.content]
    about = [raw.headers[f"x-smallfirst-{key}"] for key in ("tier", "cause", "score")]
    tier, cause, score = about
    return tier, cause, score, first_s, time.perf_counter() - started_s, "".join(parts)


def report(rows: list[tuple[str, str, str, str, str, float, float, str]]) -> str:
    """The page: a summary by kind, then every prompt."""
    tiers = Counter(row[2] for row in rows)
    ttft_ms = sorted(row[5] * 1e3 for row in rows)
    by_kind: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_kind[row[0]].append(row[2])
    lines = [
        "# A hundred prompts through `auto`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, 2 cores of an AMD EPYC, 24 GiB, no GPU. "
        "`make serve`, then `python -m bench.prompts.run --out docs/hundred-prompts.md`. "
        f"One request at a time, streamed, at most {MAX_TOKENS} tokens, temperature 0. "
        "The large tier is the stand-in (the same 135M model, unquantised), so this page is about "
        "routes and latency, not about answers.",
        "",
        f"{len(rows)} answered: {tiers['small']} small, {tiers['large']} large; TTFT "
        f"p50 {statistics.median(ttft_ms):.0f} ms, p95 {ttft_ms[int(len(rows) * 0.95)]:.0f} ms.",
        "",
        "| kind | prompts | sent large |",
        "|---|---:|---:|",
        *(f"| {k} | {len(t)} | {t.count('large')} |" for k, t in by_kind.items()),
        "",
        "| kind | prompt | tier | cause | score | TTFT ms | total ms | answer begins |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for kind, text, tier, cause, score, first_s, total_s, answer in rows:
        lines.append(
            f"| {kind} | {cell(text, 90)} | {tier} | {cause} | {float(score):.2f} "
            f"| {first_s * 1e3:.0f} | {total_s * 1e3:.0f} | {cell(answer, 60)} |"
        )
    return "\n".join(lines) + "\n"


def cell(text: str, width: int) -> str:
    """Text that fits a table cell."""
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= width else flat[: width - 1] + "…"


if __name__ == "__main__":
    typer.run(main)

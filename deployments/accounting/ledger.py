"""What is kept of a finished request: one JSON line and the metrics. Never any text of it."""

import logging
import time
from pathlib import Path
from typing import Any

import orjson
from ray.serve import metrics

from deployments.accounting.record import Record

log = logging.getLogger("ray.serve")

TTFT_BUCKETS_MS = [5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000]


def ledger_line(record: Record, threshold: float, now_s: float) -> dict[str, Any]:
    """The request as one flat JSON object; times in ms, cost in USD."""
    route, score = record.route, record.score
    return {
        "time_s": round(now_s, 3),
        "request_id": record.request_id,
        "endpoint": record.endpoint,
        "stream": record.stream,
        "asked_model": record.asked_model,
        "tier": route.tier if route else None,
        "model": record.model,
        "cause": route.cause.value if route else None,
        "score": round(score.complexity, 6) if score else None,
        "threshold": threshold,
        "p_small": round(score.p_small, 6) if score else None,
        "p_large": round(score.p_large, 6) if score else None,
        "gain": round(score.gain, 6) if score else None,
        "familiar": round(score.familiar, 6) if score else None,
        "artifact": score.artifact_id if score else None,
        "attempts": record.attempts,
        "outcome": record.outcome,
        "prompt_tokens": record.usage.prompt_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "cost_usd": record.cost_usd,
        "score_ms": _ms(record.score_s),
        "ttft_ms": _ms(record.ttft_s),
        "total_ms": _ms(record.total_s),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 2)


class Ledger:
    """Appends ledger lines to one file per gateway replica; without a folder it keeps none."""

    def __init__(self, folder: str | None, replica: str, threshold: float) -> None:
        self._threshold = threshold
        self._failing = False
        self._file = None
        if folder is not None:
            path = Path(folder)
            path.mkdir(parents=True, exist_ok=True)
            self._file = (path / f"ledger-{replica}.jsonl").open("ab", buffering=0)

    def write(self, record: Record) -> None:
        """One line; a full disk must not fail the request that was just answered."""
        if self._file is None:
            return
        line = orjson.dumps(ledger_line(record, self._threshold, time.time()))
        try:
            self._file.write(line + b"\n")
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("ledger: %s; its lines are lost meanwhile", error.strerror)
            self._failing = True

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()


class RequestMetrics:
    """Counters and histograms of finished requests; exported by every node's Ray agent."""

    def __init__(self) -> None:
        where = ("tier", "model", "cause", "outcome")
        self._requests = metrics.Counter(
            "smallfirst_requests_total", "Finished requests.", tag_keys=where
        )
        self._tokens = metrics.Counter(
            "smallfirst_tokens_total", "Tokens of finished requests.", tag_keys=("tier", "kind")
        )
        self._cost = metrics.Counter(
            "smallfirst_cost_usd_total", "Price of finished requests, USD.", tag_keys=("tier",)
        )
        self._unscored = metrics.Counter(
            "smallfirst_unscored_total", "Requests that the classifier did not score in time."
        )
        self._ttft = metrics.Histogram(
            "smallfirst_ttft_ms",
            "From request to first byte of the answer, ms.",
            boundaries=TTFT_BUCKETS_MS,
            tag_keys=("tier", "model"),
        )
        self._duration = metrics.Histogram(
            "smallfirst_request_ms",
            "From request to last byte of the answer, ms.",
            boundaries=TTFT_BUCKETS_MS,
            tag_keys=("tier", "model"),
        )

    def observe(self, record: Record) -> None:
        """Count one finished request."""
        tier = record.route.tier if record.route else "none"
        cause = record.route.cause.value if record.route else "none"
        model = record.model or "none"
        labels = {"tier": tier, "model": model, "cause": cause, "outcome": record.outcome}
        self._requests.inc(1, labels)
        if record.score_s is not None and record.score is None:
            self._unscored.inc()
        if record.usage.prompt_tokens:
            self._tokens.inc(record.usage.prompt_tokens, {"tier": tier, "kind": "prompt"})
        if record.usage.completion_tokens:
            self._tokens.inc(record.usage.completion_tokens, {"tier": tier, "kind": "completion"})
        if record.cost_usd:
            self._cost.inc(record.cost_usd, {"tier": tier})
        if record.ttft_s is not None:
            self._ttft.observe(record.ttft_s * 1e3, {"tier": tier, "model": model})
        if record.total_s is not None:
            self._duration.observe(record.total_s * 1e3, {"tier": tier, "model": model})

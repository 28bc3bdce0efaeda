"""Counters and histograms of settled exchanges; exported by every node's Ray agent."""

from ray.serve import metrics

from deployments.accounting.counter import Counter
from deployments.accounting.exchange import Attempt, Exchange
from deployments.accounting.price import NANO_USD

# Up to `gateway.max_request_s`'s default: a request may take that long.
BUCKETS_MS = [
    *(5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000),
    *(120_000, 300_000, 600_000),
]


class RequestMetrics:
    """What dashboards and alarms read."""

    def __init__(self) -> None:
        where = ("tier", "model", "cause", "outcome")
        self._requests = Counter("smallfirst_requests_total", "Finished requests.", tag_keys=where)
        self._attempts = Counter(
            "smallfirst_attempts_total", "Tiers asked.", tag_keys=("tier", "outcome")
        )
        self._tokens = Counter(
            "smallfirst_tokens_total", "Tokens of all attempts.", tag_keys=("tier", "kind")
        )
        self._cost = Counter(
            "smallfirst_cost_usd_total", "Price of all attempts, USD.", tag_keys=("tier",)
        )
        self._unscored = metrics.Counter(
            "smallfirst_unscored_total", "Requests that the classifier did not score in time."
        )
        self._ttft = metrics.Histogram(
            "smallfirst_ttft_ms",
            "From request to first byte of a streamed answer, ms.",
            boundaries=BUCKETS_MS,
            tag_keys=("tier", "model"),
        )
        self._duration = metrics.Histogram(
            "smallfirst_request_ms",
            "From request to last byte of the answer, ms.",
            boundaries=BUCKETS_MS,
            tag_keys=("tier", "model"),
        )
        self._failed = metrics.Counter(
            "smallfirst_accounting_failed_total", "Records that could not be kept whole."
        )
        self._lost = metrics.Counter(
            "smallfirst_ledger_lines_lost_total", "Ledger lines that are not in the file."
        )

    def observe(self, exchange: Exchange) -> None:
        """Count one settled exchange."""
        last = exchange.last
        where = {"tier": last.tier if last else "none", "model": last.model if last else "none"}
        cause = last.cause.value if last else "none"
        outcome = exchange.outcome or "none"
        self._requests.inc(1, {**where, "cause": cause, "outcome": outcome})
        for attempt in exchange.attempts:
            self._observe_attempt(attempt)
        if exchange.score_s is not None and exchange.score is None:
            self._unscored.inc()
        # A document has no first byte before its last: it would pull the figure towards the total.
        if exchange.stream and exchange.ttft_s is not None:
            self._ttft.observe(exchange.ttft_s * 1e3, where)
        if exchange.total_s is not None:
            self._duration.observe(exchange.total_s * 1e3, where)

    def accounting_failed(self) -> None:
        """Count a record that a keeper could not keep."""
        self._failed.inc()

    def lines_lost(self, lines: int) -> None:
        """Count ledger lines that are not in the file; from any thread."""
        if lines > 0:
            self._lost.inc(lines)

    def flush(self) -> None:
        """Tell Ray what it was not told yet."""
        for counter in (self._requests, self._attempts, self._tokens, self._cost):
            counter.flush()

    def _observe_attempt(self, attempt: Attempt) -> None:
        self._attempts.inc(1, {"tier": attempt.tier, "outcome": attempt.outcome or "none"})
        tokens = zip(("prompt", "completion"), attempt.usage, strict=True)
        for kind, count in tokens:
            self._tokens.inc(count, {"tier": attempt.tier, "kind": kind})
        self._cost.inc(attempt.cost_nano_usd / NANO_USD, {"tier": attempt.tier})

"""A settled exchange as one flat JSON object. Never any text of the request."""

from typing import Any

from deployments.accounting.exchange import Attempt, Exchange
from deployments.accounting.price import NANO_USD


def ledger_line(exchange: Exchange, now_s: float) -> dict[str, Any]:
    """The object: times in ms, `time_s` and `arrived_s` in Unix seconds, cost in USD.

    Tokens are those of the last attempt, which is the answer; `cost_usd` is that of all attempts.
    docs/ledger.md explains every key.
    """
    last, score, usage = exchange.last, exchange.score, exchange.usage
    cost_nano_usd = exchange.cost_nano_usd
    return {
        "time_s": round(now_s, 3),
        "arrived_s": round(now_s - (exchange.total_s or 0.0), 3),
        "request_id": exchange.request_id,
        "record_id": exchange.record_id,
        "key": exchange.key_id or None,
        "tenant": exchange.tenant or None,
        "endpoint": exchange.endpoint,
        "stream": exchange.stream,
        "asked_model": exchange.asked_model,
        "tier": last.tier if last else None,
        "model": last.model if last else None,
        "cause": last.cause.value if last else None,
        "score": round(score.complexity, 6) if score else None,
        "threshold": exchange.threshold,
        "p_small": round(score.p_small, 6) if score else None,
        "p_large": round(score.p_large, 6) if score else None,
        "gain": round(score.gain, 6) if score else None,
        "familiar": round(score.familiar, 6) if score else None,
        "artifact": score.artifact_id if score else None,
        "answer_score": _rounded(exchange.answer_score),
        "held_tokens": sum(attempt.held_tokens for attempt in exchange.attempts),
        "hold_ms": _ms(sum(attempt.hold_s for attempt in exchange.attempts)),
        "wasted_completion_tokens": exchange.wasted_completion_tokens,
        "attempts": [_attempt(attempt) for attempt in exchange.attempts],
        "outcome": exchange.outcome,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": cost_nano_usd / NANO_USD,
        "cost_nano_usd": cost_nano_usd,
        "score_ms": _ms(exchange.score_s),
        "ttft_ms": _ms(exchange.ttft_s),
        "total_ms": _ms(exchange.total_s),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "tier": attempt.tier,
        "model": attempt.model,
        "cause": attempt.cause.value,
        "outcome": attempt.outcome,
        "prompt_tokens": attempt.usage.prompt_tokens,
        "completion_tokens": attempt.usage.completion_tokens,
        "cost_nano_usd": attempt.cost_nano_usd,
        "total_ms": _ms(attempt.total_s),
        "answer_score": _rounded(attempt.answer_score),
        "answer_fault": attempt.answer_fault,
        "held_tokens": attempt.held_tokens,
        "hold_ms": _ms(attempt.hold_s),
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 6)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 2)

"""A settled exchange as the store keeps it."""

import time

import orjson

from deployments.accounting.exchange import Exchange
from deployments.accounting.ledger_line import ledger_line
from deployments.accounting.price import Price
from deployments.store.balances import hour_of
from deployments.store.records import Record


def record_of(exchange: Exchange, large: Price, config_hash: str) -> Record:
    """The record, also of an exchange that still runs: then what is known so far.

    `large` is the price that the same tokens would have had at the large tier.
    """
    now_s, last, usage = time.time(), exchange.last, exchange.usage
    tries = exchange.attempts
    wasted = tries[:-1] if exchange.outcome in (None, "ok", "cancelled") else tries
    line = {**ledger_line(exchange, now_s), "config": config_hash}
    large_prompt = large.prompt_nano_usd(usage)
    cost_nano_usd: int = line["cost_nano_usd"]
    small, big = _pair(exchange)
    return Record(
        record_id=exchange.record_id,
        request_id=exchange.request_id,
        time_s=round(now_s, 3),
        hour=exchange.hold.hour if exchange.hold else hour_of(now_s),
        key_id=exchange.key_id,
        tenant=exchange.tenant,
        tier=last.tier if last else "",
        model=last.model if last else "",
        cause=last.cause.value if last else "",
        outcome=exchange.outcome or "",
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        wasted_tokens=sum(sum(one.usage) for one in wasted),
        cost_nano_usd=cost_nano_usd,
        wasted_nano_usd=sum(one.cost_nano_usd for one in wasted),
        gpu_nano_usd=sum(one.time_nano_usd for one in tries),
        large_prompt_nano_usd=large_prompt,
        large_completion_nano_usd=large.cost_nano_usd(usage) - large_prompt,
        score_us=round((exchange.score_s or 0.0) * 1e6),
        pair_small_tokens=small,
        pair_large_tokens=big,
        line=orjson.dumps(line).decode(),
    )


def _pair(exchange: Exchange) -> tuple[int, int]:
    """The lengths of a small and a large answer to one request, both whole; else 0 and 0.

    An answer that was judged by its beginning says nothing of its length.
    """
    lengths = {one.tier: one.usage.completion_tokens for one in exchange.attempts if one.whole}
    return (lengths["small"], lengths["large"]) if len(lengths) == 2 else (0, 0)


class OpenExchanges:
    """The requests that run at this gateway: what is booked of them if it dies."""

    def __init__(self, large: Price, config_hash: str) -> None:
        self.configure(large, config_hash)
        self._open: dict[str, Exchange] = {}

    def configure(self, large: Price, config_hash: str) -> None:
        """Book at this price of the large tier, under these settings, from now on."""
        self._large = large
        self._config_hash = config_hash

    def opened(self, exchange: Exchange) -> None:
        """Note a request that was admitted."""
        self._open[exchange.record_id] = exchange

    def settled(self, exchange: Exchange) -> Record:
        """The record of a request that is over."""
        self._open.pop(exchange.record_id, None)
        return record_of(exchange, self._large, self._config_hash)

    def records(self) -> list[Record]:
        """What is known of those that run."""
        return [
            record_of(exchange, self._large, self._config_hash) for exchange in self._open.values()
        ]

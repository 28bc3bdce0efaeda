"""What an engine does now, as gauges of its replica; exported by every node's Ray agent."""

from ray.serve import metrics

from deployments.protocol.engine import EngineLoad


class EngineGauges:
    """Load and memory of one engine; Serve adds which deployment and replica it is."""

    def __init__(self) -> None:
        self._running = metrics.Gauge(
            "smallfirst_engine_running", "Requests that the engine decodes."
        )
        self._waiting = metrics.Gauge(
            "smallfirst_engine_waiting", "Requests that wait inside the engine."
        )
        self._kv_cache_usage = metrics.Gauge(
            "smallfirst_engine_kv_cache_usage", "Part of the KV cache that is in use, 0 to 1."
        )

    def set(self, load: EngineLoad) -> None:
        """Show one look at the engine."""
        self._running.set(float(load.running))
        self._waiting.set(float(load.waiting))
        self._kv_cache_usage.set(load.kv_cache_usage)

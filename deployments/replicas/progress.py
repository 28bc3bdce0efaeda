"""Whether an engine with work makes steps."""

from deployments.protocol.engine import EngineLoad

# The longest time that one look may count: a few looks of a busy event loop.
MAX_LOOK_S = 1.0


class Progress:
    """How long an engine with work has made no step. Progress, not latency: a slow engine is not
    stuck."""

    def __init__(self) -> None:
        self.stalled_s = 0.0
        self._seen = -1
        self._looked_at_s = 0.0

    def look(self, load: EngineLoad, now_s: float) -> None:
        """Take over the engine's counts; to be called often.

        Time in which nobody looked counts for one look only: a process that was stopped has not
        seen its engine's messages, which says nothing of the engine.
        """
        passed_s = min(now_s - self._looked_at_s, MAX_LOOK_S)
        self._looked_at_s = now_s
        if load.progress != self._seen or not (load.running or load.waiting):
            self._seen, self.stalled_s = load.progress, 0.0
        else:
            self.stalled_s += passed_s

"""Counts what the router's alarms go by, and shows them: a gauge each, a line on a change."""

import logging
import time

from ray.serve import metrics

from deployments.accounting.exchange import Exchange
from deployments.routing.alarms import Agreement, Alarm, AlarmRules
from deployments.routing.held_rate import RateState

log = logging.getLogger("ray.serve")

ABOUT = {
    Alarm.ESCALATION_STUCK: "1: next to none, or all, of the requests that may escalate do.",
    Alarm.THRESHOLD_UNREACHABLE: "1: no request of late reaches the threshold.",
    Alarm.SCORE_DRIFT: "1: the scores of late are not the usual ones.",
    Alarm.ANSWER_CHECK_DISAGREES: "1: many answers fail whose questions the classifier is sure of.",
    Alarm.TARGET_MISSED: "1: the escalated share has missed its target for an hour.",
}
# Of the threshold: questions below are sure.
SURE = 0.5
# Of each judged answer: the weight of those before it.
KEEP = 1 - 1 / 1000


class RouterAlarms:
    """The alarms of one gateway."""

    def __init__(self) -> None:
        self._rules = AlarmRules()
        self._judged = self._failed = 0.0
        self._raised = dict.fromkeys(Alarm, False)
        self._gauges = {
            alarm: metrics.Gauge(f"smallfirst_alarm_{alarm}", ABOUT[alarm]) for alarm in Alarm
        }

    def observe(self, exchange: Exchange) -> None:
        """Count whether the answer check and the classifier agree on a settled request."""
        answer, threshold = exchange.answer_score, exchange.threshold
        if answer is None or threshold is None or exchange.score is None:
            return
        if exchange.score.complexity < SURE * threshold:
            # A degenerate answer claims 1. Where all are, the control repays each escalation with
            # a threshold above 1, which no answer reaches and each of them has failed all the same.
            failed = answer >= min(threshold, 1.0)
            self._judged = self._judged * KEEP + 1
            self._failed = self._failed * KEEP + failed

    def show(self, state: RateState) -> None:
        """Set the gauges, and say what has changed."""
        agreement = Agreement(self._judged, self._failed)
        for alarm, raised in self._rules.raised(state, agreement, time.monotonic()).items():
            self._gauges[alarm].set(float(raised))
            if raised != self._raised[alarm]:
                log.warning("alarm %s: %s", alarm, "raised" if raised else "over")
            self._raised[alarm] = raised

"""What is wrong with the router itself: a router that has stopped routing looks healthy otherwise.

Pure rules on counted facts; each has a gauge of its own (docs/alarms.md).
"""

from dataclasses import dataclass
from enum import StrEnum

from deployments.routing.held_rate import RateState

# Fewer requests say nothing of a share: at 5% some 50 escalations.
LEAST_REQUESTS = 1000
# Of the target: nobody goes large any more, or nearly everybody does.
STUCK_LOW = 0.1
STUCK_HIGH = 0.95
# Of the target: where fewer claims reach the threshold, it is chance, or what has not yet faded of
# what training promised.
UNREACHED = 0.01
# Largest distance between the scores of late and the usual ones (Kolmogorov and Smirnov); 500
# scores differ by 0.06 from themselves, another kind of traffic by 0.3 and more.
DRIFT = 0.25
# Answers that were judged, of questions that are sure; and the share of them that may fail.
LEAST_JUDGED = 200
DISAGREE = 0.2
# What the bar of the control is, and how long it may be missed. `LEAST_REQUESTS` must come too: in
# a night without traffic the rate stands wherever the last requests of the evening left it.
MISSED_BY = 0.005
MISSED_S = 3600.0


class Alarm(StrEnum):
    """The names behind `smallfirst_alarm_`."""

    ESCALATION_STUCK = "escalation_stuck"
    THRESHOLD_UNREACHABLE = "threshold_unreachable"
    SCORE_DRIFT = "score_drift"
    ANSWER_CHECK_DISAGREES = "answer_check_disagrees"
    TARGET_MISSED = "target_missed"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of late: answers judged whose question was sure, and those of them that failed."""

    judged: float = 0.0
    failed: float = 0.0


class AlarmRules:
    """Which alarms are raised; remembers only since when the target is missed."""

    def __init__(self) -> None:
        # The time, and how many requests had come by then.
        self._missed_since: tuple[float, int] | None = None

    def raised(self, state: RateState, agreement: Agreement, now_s: float) -> dict[Alarm, bool]:
        """All alarms at this moment; `now_s` is on a clock that only goes forward."""
        enough = state.requests >= LEAST_REQUESTS
        open_to_control = 0 < state.target_rate < 1
        low = state.rate < STUCK_LOW * state.target_rate
        failing = agreement.failed > DISAGREE * agreement.judged
        # Above its lowest the threshold stands only to repay, and comes down by itself.
        bound = state.threshold <= state.lowest
        # A threshold that may not move holds no rate, and promises none.
        held = state.lowest < state.highest
        return {
            Alarm.ESCALATION_STUCK: enough and open_to_control and (low or state.rate > STUCK_HIGH),
            Alarm.THRESHOLD_UNREACHABLE: enough
            and open_to_control
            and (bound and state.reach < UNREACHED * state.target_rate),
            Alarm.SCORE_DRIFT: state.drift > DRIFT,
            Alarm.ANSWER_CHECK_DISAGREES: agreement.judged >= LEAST_JUDGED and failing,
            Alarm.TARGET_MISSED: enough
            and open_to_control
            and held
            and self._is_missed(state, now_s),
        }

    def _is_missed(self, state: RateState, now_s: float) -> bool:
        if abs(state.rate - state.target_rate) <= max(MISSED_BY, 0.1 * state.target_rate):
            self._missed_since = None
            return False
        if self._missed_since is None:
            self._missed_since = now_s, state.requests
        since_s, before = self._missed_since
        return now_s - since_s >= MISSED_S and state.requests - before >= LEAST_REQUESTS

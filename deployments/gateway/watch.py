"""How long an answer is held before it is judged, and what then is booked of it.

Held until the first of: so many tokens, the end of its first sentence, its own end, and without an
artefact its first words where they are none of a degenerate answer; a time limit is the reader's
(`attempts`). Judged once.
"""

import re
import time

from classifier import Score
from deployments.accounting.exchange import Attempt
from deployments.gateway.answer_check import Judged, choices_of, is_plain
from deployments.gateway.answer_text import Said
from deployments.gateway.judge import Judge
from deployments.protocol.chunk import Chunk
from deployments.protocol.openai_request import ParsedRequest

# A full stop after a word, not after a number in a list; or the full stops of other scripts.
_SENTENCE = re.compile(
    r"\w{2,}[\"')\]]?[.!?…]+[\"')\]]?(?:\s|$)|\w[」』\uff09\")]*[。\uff01\uff1f]|\S\s*\n\s*\S"
)


class Watch:
    """Looks at one answer of the small tier as it comes."""

    def __init__(
        self, request: ParsedRequest, score: Score | None, judge: Judge, attempt: Attempt
    ) -> None:
        self._request = request
        self._score = score
        self._judge = judge
        self._hold_tokens = judge.hold_tokens * choices_of(request)
        self._attempt = attempt
        self._said = Said()
        self._held: list[Chunk] = []
        self._begun_s: float | None = None
        self.judged: Judged | None = None

    @property
    def over(self) -> bool:
        """Whether enough has come to judge by, or it was judged."""
        return self.judged is not None or self._complete

    @property
    def _complete(self) -> bool:
        if not self._held:
            return False
        last = self._held[-1]
        enough = last.usage.completion_tokens >= self._hold_tokens and not self._may_stay_blank
        return last.done or enough or self._sentences_end()

    @property
    def _may_stay_blank(self) -> bool:
        """Whether a choice has shown nothing, and not for so long that it is sure to."""
        choices = self._said.choices.values()
        return any(
            choice.text and not choice.says_something and not choice.is_blank for choice in choices
        )

    @property
    def is_plain(self) -> bool:
        """Whether nothing of what is looked for can come any more: it need not be held, and is
        judged as it passes, for the record."""
        return not self._judge.wants_all_held and is_plain(self._said, self._held, self._request)

    def take(self, chunk: Chunk) -> None:
        """Look at what comes next."""
        if self._begun_s is None and chunk.content:
            self._begun_s = time.perf_counter()
        self._held.append(chunk)
        self._said.take(chunk.data, self._request.stream)

    def judge(self) -> Judged:
        """What has come, judged once and booked."""
        if self.judged is None:
            judged = self._judge.judged(self._said, self._held, self._request, self._score)
            self._attempt.answer_score = judged.claim
            self._attempt.answer_fault = judged.fault.value if judged.fault else None
            self.judged = judged
        return self.judged

    def book_hold(self) -> None:
        """Note for how long, and how many tokens, the client was kept waiting."""
        if self._held:
            self._attempt.held_tokens = self._held[-1].usage.completion_tokens
        if self._begun_s is not None:
            self._attempt.hold_s = time.perf_counter() - self._begun_s

    def _sentences_end(self) -> bool:
        """Whether every choice that was asked for has ended a sentence."""
        choices = self._said.choices.values()
        ended = sum(_SENTENCE.search(choice.text) is not None for choice in choices)
        return ended >= choices_of(self._request)

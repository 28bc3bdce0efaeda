"""What a request may do: stay, leave, leave with placeholders, or be refused.

Asked twice. The gateway asks before it decides where a request goes, so that one that must stay is
answered inside; the door asks again about the bytes that are to leave, and its word is the last.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.privacy.detectors import Detectors, Found
from deployments.privacy.masks import Masks
from deployments.privacy.payload import Said, mapped, read
from deployments.privacy.releasable import SEAL, Destination, Releasable, Why
from deployments.privacy.slices import find_in_slices
from deployments.protocol.engine import EngineRequest
from deployments.protocol.errors import LocalOnlyConflict, PrivateDataRefused
from deployments.settings.privacy import Action, PrivacyConfig

# The strictest of a request's finds decides.
_STRICTER: dict[Action, int] = {"ignore": 0, "allow": 1, "mask": 2, "local": 3, "refuse": 4}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose request it is, as far as the policy cares."""

    # Public id of the API key.
    key: str | None = None
    tenant: str | None = None
    # The key itself says so.
    local_only: bool = False


NOBODY = Subject()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says of a request before it is routed."""

    # Why it must stay: `key`, `tenant`, `model`, or kinds of finds; empty: it may leave.
    local_by: tuple[str, ...] = ()
    refused_by: tuple[str, ...] = ()


class Policy:
    """Judges requests by one configuration."""

    def __init__(self, config: PrivacyConfig) -> None:
        self._config = config
        self._detectors = Detectors(config)
        actions = {config.action(kind) for kind in config.kinds}
        # With this action a request has nothing worse to expect.
        self._worst = max(actions, key=_STRICTER.__getitem__)
        # No more is read of a body, where anything in it could keep it from leaving as it is.
        some = _STRICTER[self._worst] > _STRICTER["allow"]
        self.most_chars = config.max_text_chars if some else math.inf

    @property
    def refuses(self) -> bool:
        """Whether some find makes a request refused, wherever it would go."""
        return self._worst == "refuse"

    def judge(self, body: Any, asked_model: str, subject: Subject) -> Verdict:
        """Whether a request must stay, or is refused; finds that could be masked keep none."""
        local, by = self._config.local, []
        if subject.local_only or subject.key in local.keys:
            by.append("key")
        if subject.tenant in local.tenants:
            by.append("tenant")
        if asked_model in local.models:
            by.append("model")
        if by and not self.refuses:
            return Verdict(tuple(by))
        finds = _Finds(self, body)
        return Verdict((*by, *finds.kinds_that("local")), finds.kinds_that("refuse"))

    def release(
        self, request: EngineRequest, body: dict[str, Any], destination: Destination
    ) -> Releasable:
        """`body`, which is `request` in the words of its destination, as what may leave.

        Raises: `LocalOnlyConflict`, `PrivateDataRefused`.
        """
        if destination.in_cluster:
            return Releasable(SEAL, destination, _json(body), request.request_id, "in_cluster")
        if request.local_only:
            raise LocalOnlyConflict("This request must not leave the cluster.")
        finds = _Finds(self, body)
        if refused := finds.kinds_that("refuse"):
            raise refusal(refused)
        if local := finds.kinds_that("local"):
            raise LocalOnlyConflict(f"This request must not leave the cluster: {', '.join(local)}.")
        return finds.released(destination, request.request_id)

    def search(self, said: Sequence[Said]) -> list[Found]:
        """The finds in texts, up to the first after which no other matters."""
        finds: list[Found] = []
        for found in find_in_slices(self._detectors.find, [text for text, _ in said]):
            finds.append(found)
            if self.action(found, said) == self._worst and self._worst in ("local", "refuse"):
                break
        return finds

    def action(self, found: Found, said: Sequence[Said]) -> Action:
        """What a find does: what cannot be masked where it stands must stay."""
        action = self._config.action(found.kind)
        return "local" if action == "mask" and not said[found.text].maskable else action

    @property
    def opaque(self) -> Action:
        """What is done with what no detector can read."""
        return self._config.action("opaque")

    def unreadable(self, kinds: set[str]) -> list[tuple[str, Action]]:
        """What the unreadable parts of a request do."""
        return [(kind, self._config.action(kind)) for kind in sorted(kinds)]


class _Finds:
    """All that was found in one body."""

    def __init__(self, policy: Policy, body: Any) -> None:
        self._policy, self._body = policy, body
        self._said, kinds, too_long = read(body, policy.most_chars)
        self._finds = policy.search(self._said)
        self._actions = [(f.kind, policy.action(f, self._said)) for f in self._finds]
        self._actions += policy.unreadable(kinds)
        if too_long:  # nobody said that texts may leave unread
            self._actions = [("opaque", max("local", policy.opaque, key=_STRICTER.__getitem__))]

    def kinds_that(self, action: Action) -> tuple[str, ...]:
        """Kinds that were found and do this."""
        return tuple(sorted({kind for kind, does in self._actions if does == action}))

    def released(self, destination: Destination, request_id: str) -> Releasable:
        """The body with placeholders for what is masked."""
        counts = Counter(kind for kind, does in self._actions if does != "ignore")
        by_text: dict[str, list[Found]] = defaultdict(list)
        for found in self._finds:
            if self._policy.action(found, self._said) == "mask":
                by_text[self._said[found.text].text].append(found)
        masks = Masks([text for text, _ in self._said])
        body = mapped(self._body, lambda text: masks.masked(text, by_text.get(text, ())))
        why: Why = "masked" if masks.placeholders else "allowed" if counts else "nothing_found"
        outside_id, content = self._outside_id(request_id), _json(body)
        return Releasable(SEAL, destination, content, outside_id, why, counts, masks.originals())

    def _outside_id(self, request_id: str) -> str:
        """The request's id; a digest of it where somebody wrote more than an id into it."""
        if not self._policy.search([Said(request_id, False)]):
            return request_id
        return hashlib.sha256(request_id.encode()).hexdigest()[:32]


def refusal(kinds: Sequence[str]) -> PrivateDataRefused:
    """The error for a request that holds what is refused; it names kinds, never values."""
    return PrivateDataRefused(f"This request holds what may not be sent here: {', '.join(kinds)}.")


def _json(body: Any) -> bytes:
    # It escapes lone surrogates, on which httpx's own encoding raises.
    return json.dumps(body).encode()

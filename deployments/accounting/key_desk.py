"""What an administrator may ask of the keys: make, list, rotate, revoke."""

import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from deployments.accounting.owner import Owner
from deployments.settings.api_key import ApiKey, Limits, Made, make_key, rotate
from deployments.settings.config_mistake import first_mistake
from deployments.store.database import StoreError

# A secret that is to be replaced in every client opens that long beside the new one.
OVERLAP_S = 24 * 3600.0
Document = dict[str, Any]


class Refusal(Exception):  # it is an answer: a status and one line
    """What cannot be done, as an HTTP status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class KeyDesk:
    """Changes keys, one at a time."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        # Tiers whose price nobody said: no cap can hold what they cost.
        self.unpriced: list[str] = []

    def ask(self, question: Document) -> Document:
        """The answer to one question. Raises: `Refusal`."""
        doing: dict[str, Callable[[Document], Document]] = {
            "create": self._create,
            "list": self._list,
            "show": self._show,
            "rotate": self._rotate,
            "revoke": self._revoke,
        }
        try:
            return doing[question["do"]](question)
        except StoreError as error:
            raise Refusal(503, f"the store fails, and nothing was changed: {error}") from None
        except ValidationError as error:
            raise Refusal(400, first_mistake(error)) from None

    def _create(self, question: Document) -> Document:
        if not isinstance(said := question.get("limits", {}), dict):
            raise Refusal(400, "limits: must be an object")
        if not isinstance(name := question.get("name"), str):
            raise Refusal(400, "name: must be a string: what the key is for")
        limits = Limits.model_validate(said)
        now_s, lasts_s = time.time(), question.get("expires_in_s")
        if lasts_s is not None and not _positive(lasts_s):
            raise Refusal(400, "expires_in_s: must be a positive number of seconds")
        self._check_prices(limits)
        keys = self._owner.books.keys.values()
        if any(key.name == name and not key.ended(now_s) for key in keys):
            raise Refusal(409, f"name: {name} is the name of another key: choose one of its own")
        made = make_key(name, limits, now_s, now_s + lasts_s if lasts_s else None)
        return self._told(made)

    def _list(self, _: Document) -> Document:
        return {"object": "list", "data": [shown(k) for k in self._owner.books.keys.values()]}

    def _show(self, question: Document) -> Document:
        key = self._found(question)
        return {**shown(key), "standing": self._owner.standing(key.key_id)}

    def _rotate(self, question: Document) -> Document:
        key, overlap_s = self._found(question), question.get("overlap_s", OVERLAP_S)
        if not _positive(overlap_s) and overlap_s != 0:
            raise Refusal(400, "overlap_s: must be a number of seconds, at least 0")
        if ended := key.ended(time.time()):
            raise Refusal(409, f"the key is {ended}: make a new one")
        return self._told(rotate(key, overlap_s, time.time()))

    def _revoke(self, question: Document) -> Document:
        key = self._found(question)
        revoked = key.model_copy(update={"revoked_s": key.revoked_s or time.time()})
        self._owner.put_key(revoked, at_once=True)
        return {**shown(revoked), "trouble": self._owner.books.trouble or None}

    def _told(self, made: Made) -> Document:
        self._owner.put_key(made.key)
        return {**shown(made.key), "api_key": made.text}

    def _found(self, question: Document) -> ApiKey:
        key = self._owner.books.keys.get(str(question.get("key_id")))
        if key is None:
            raise Refusal(404, "no key has this id: see the list")
        return key

    def _check_prices(self, limits: Limits) -> None:
        if limits.usd.any and self.unpriced:
            raise Refusal(
                400,
                f"usd: nobody knows what {' and '.join(self.unpriced)} cost: give the tier its "
                "usd_per_million_* or usd_per_gpu_hour, 0 where it is free",
            )


def shown(key: ApiKey) -> Document:
    """A key as an administrator sees it: nothing of its secrets."""
    now_s = time.time()
    return {
        "object": "smallfirst.key",
        "key_id": key.key_id,
        "name": key.name,
        "status": key.ended(now_s) or "active",
        "created_s": key.created_s,
        "expires_s": key.expires_s,
        "revoked_s": key.revoked_s,
        "secrets": len([s for s in key.secrets if s.expires_s is None or s.expires_s > now_s]),
        "limits": key.limits.model_dump(mode="json"),
    }


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e10

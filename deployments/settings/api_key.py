"""An API key: who asks, and what it may have. Its secret is not in here."""

import hashlib
import hmac
import re
import secrets
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployments.settings.group import Strict

# `sf-PUBLIC-SECRET`: the public part is what logs, the ledger and rules say.
PREFIX = "sf"
FORM = re.compile(r"sf-([0-9a-z]{12})-([A-Za-z0-9_-]{43})")
ID = re.compile(r"[0-9a-z]{12}")
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
NANO_USD = 10**9
# As much as a 64-bit number of nano-USD holds, with room for sums.
MAX_USD = 10**8


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text):
        raise ValueError(
            "must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or digit"
        )
    return text


def _usd(value: float) -> float:
    if round(value * NANO_USD) == 0 and value:
        raise ValueError("is under a nano-USD")
    return value


def _model_name(text: str) -> str:
    if not text.isprintable() or not 1 <= len(text) <= 200:
        raise ValueError("must be 1 to 200 printable characters")
    return text


Word = Annotated[str, AfterValidator(_word)]
Usd = Annotated[float, Field(ge=0, le=MAX_USD, allow_inf_nan=False), AfterValidator(_usd)]


class UsdCaps(Strict):
    """The most that may be spent in an hour, a day and a month (UTC), USD; null: no cap."""

    hour: Usd | None = None
    """From the full hour on."""
    day: Usd | None = None
    """From midnight UTC on."""
    month: Usd | None = None
    """From the first of the month on."""

    @model_validator(mode="after")
    def _ordered(self) -> "UsdCaps":
        given = [cap for cap in (self.hour, self.day, self.month) if cap is not None]
        if given != sorted(given):
            raise ValueError("a shorter window's cap is above a longer one's: it could never bind")
        return self

    @property
    def any(self) -> bool:
        """Whether there is a cap; one of 0 is: nothing may be spent."""
        return not (self.hour is None and self.day is None and self.month is None)

    def nano_usd(self) -> tuple[int | None, int | None, int | None]:
        """The same in nano-USD: hour, day, month."""
        hour, day, month = (
            None if cap is None else round(cap * NANO_USD)
            for cap in (self.hour, self.day, self.month)
        )
        return hour, day, month


class Limits(Strict):
    """What a key may have; the defaults restrict nothing."""

    tenant: Word | None = None
    """Whose key it is."""
    models: frozenset[Annotated[str, AfterValidator(_model_name)]] | None = None
    """Names that a request may ask for, `auto` among them; null: all."""
    tiers: frozenset[Literal["small", "large"]] = frozenset({"small", "large"})
    """Tiers that may answer."""
    local_only: bool = False
    """True: no request of this key leaves the cluster."""
    requests_per_minute: int | None = Field(None, ge=1)
    """Admitted in a minute of the clock, over all gateways."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Prompt and answer, as held at admission and corrected at the end."""
    max_parallel: int | None = Field(None, ge=1)
    """Open at a time, over all gateways."""
    usd: UsdCaps = UsdCaps()
    """Hard caps."""
    on_exceed: Literal["reject", "small_only"] = "reject"
    """Over a cap: 429, or on the small tier only."""
    unaccounted: Literal["allow", "refuse"] | None = None
    """While the accounts' owner is away: `allow` goes on without it, `refuse` waits for it and in
    the end answers 503. null: refuse where a cap in USD binds, else allow."""

    @model_validator(mode="after")
    def _can_answer(self) -> "Limits":
        if not self.tiers:
            raise ValueError("tiers: at least one must be allowed to answer")
        if self.models is not None and not self.models:
            raise ValueError("models: name at least one, or leave it out for all")
        return self


class Secret(BaseModel):
    """A secret's digest, and until when it opens."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    expires_s: float | None = None


class ApiKey(BaseModel):
    """One key, as it is kept: digests of its secrets, never one of them."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    name: Word
    created_s: float
    expires_s: float | None = None
    revoked_s: float | None = None
    limits: Limits = Limits()
    secrets: tuple[Secret, ...] = ()

    def opens(self, digest: str, now_s: float) -> bool:
        """Whether a secret with this digest opens now; the time taken tells nothing of a guess."""
        known = [
            hmac.compare_digest(digest, secret.sha256)
            and (secret.expires_s is None or now_s < secret.expires_s)
            for secret in self.secrets
        ]
        return any(known) and self.ended(now_s) is None

    def holds(self, digest: str) -> bool:
        """Whether a secret has this digest, whether or not it opens."""
        # All of them are compared: the answer's time tells nothing of a guess.
        return sum(hmac.compare_digest(digest, secret.sha256) for secret in self.secrets) > 0

    def ended(self, now_s: float) -> str | None:
        """Why the key opens nothing any more: `revoked`, `expired`; None: it does."""
        if self.revoked_s is not None:
            return "revoked"
        return "expired" if self.expires_s is not None and now_s >= self.expires_s else None


class Made(NamedTuple):
    """A new key or secret, and the one time that it can be read."""

    key: ApiKey
    text: str


def make_key(name: str, limits: Limits, now_s: float, expires_s: float | None = None) -> Made:
    """A fresh key. Raises: `ValidationError` where its name will not do."""
    key_id = "".join(secrets.choice(ALPHABET) for _ in range(12))
    key = ApiKey(key_id=key_id, name=name, created_s=now_s, expires_s=expires_s, limits=limits)
    return _with_secret(key, key.secrets)


def rotate(key: ApiKey, overlap_s: float, now_s: float) -> Made:
    """The key with a fresh secret; its present ones open for `overlap_s` more seconds."""
    until_s = now_s + overlap_s
    old = [
        secret.model_copy(update={"expires_s": min(secret.expires_s or until_s, until_s)})
        for secret in key.secrets
        if secret.expires_s is None or secret.expires_s > now_s
    ]
    return _with_secret(key, tuple(old))


def parts(text: str) -> tuple[str, str] | None:
    """The public id and the digest of a key as a client sends it; None: it is none of ours."""
    found = FORM.fullmatch(text)
    return (found[1], sha256(text)) if found else None


def sha256(text: str) -> str:
    """The digest that is kept. The secret has 256 random bits: no salt, no slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()


def _with_secret(key: ApiKey, old: tuple[Secret, ...]) -> Made:
    text = f"{PREFIX}-{key.key_id}-{secrets.token_urlsafe(32)}"
    fresh = Secret(sha256=sha256(text))
    return Made(key.model_copy(update={"secrets": (*old, fresh)}), text)

"""What a request says about itself beside its body."""

from dataclasses import dataclass

from deployments.privacy.policy import NOBODY, Subject
from deployments.settings.api_key import ApiKey


@dataclass(frozen=True, slots=True)
class Hints:
    """What a client's headers say about one request."""

    request_id: str
    min_tier_large: bool = False
    local_only: bool = False
    session: str | None = None
    timeout_s: float | None = None
    # Whether the small tier's answer may be judged.
    answer_check: bool = True
    # How often the request has passed a service like this one.
    hops: int = 0
    # A digest of the caller's API key: what one caller does binds no other.
    caller: bytes = b""
    # The same as the privacy policy sees it.
    subject: Subject = NOBODY
    # The key's public id, empty where none is asked for; and what it may have, where that is kept.
    key_id: str = ""
    key: ApiKey | None = None


def tenant_of(key: ApiKey | None) -> str:
    """Whose a key is, as a record says it: empty where nobody is named."""
    return (key.limits.tenant or "") if key else ""

"""What may leave the cluster, and what becomes of a request that holds what must not."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from deployments.settings.environment import VariableName
from deployments.settings.group import Strict

# local: the request stays in the cluster. refuse: nobody answers it. mask: what was found leaves as
# a placeholder, and is put back into the answer. allow: it leaves, and the audit log says so.
# ignore: it is not looked for.
Action = Literal["local", "refuse", "mask", "allow", "ignore"]
Egress = Literal["policy", "none"]

NUMBERS = (
    "card", "iban", "vat", "us_ssn", "us_itin", "us_ein", "gb_nhs", "gb_nino", "ca_sin", "au_tfn",
    "in_aadhaar", "br_cpf", "de_idnr", "fr_nir", "es_dni", "es_nie", "it_codicefiscale", "nl_bsn",
    "be_nn", "pl_pesel", "se_personnummer", "dk_cpr", "fi_hetu", "ch_ssn", "cn_ric", "kr_rrn",
    "za_idnr", "mx_curp", "tr_tckimlik",
)  # fmt: skip
# image: a picture; opaque: whatever else no detector can read (token ids, PDF, audio).
KINDS = (*NUMBERS, "email", "phone", "secret", "image", "opaque")
# A placeholder in their place would be no picture and no file.
UNMASKABLE = frozenset({"image", "opaque"})

# Folding changes a letter in a pattern as it does in a text. It does not see which letters an
# escape or a range names; and what is an escape in JSON, a URL or HTML, no folded text has.
_PATTERN_PART = re.compile(
    r"(?P<lost>\\(?:x[89a-fA-F][0-9a-fA-F]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}"
    r"|[23][0-7]{2})|%[2-7][0-9a-fA-F]|&#[xX]?[0-9a-fA-F]{1,7};)"
    r"|\\.|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])",
    re.DOTALL,
)
_OTHER_RANGE = re.compile(r"[^\x00-\x7f]-[^\]]|[^\[^]-[^\x00-\x7f]|\\[xuUN][0-9a-fA-F{]+")

Name = Annotated[str, Field(min_length=1, max_length=256)]


class LocalConfig(Strict):
    """Whose requests stay in the cluster, whatever they hold."""

    keys: frozenset[Name] = frozenset()
    """Public ids of API keys."""
    tenants: frozenset[Name] = frozenset()
    """Tenants of API keys."""
    models: frozenset[Name] = frozenset()
    """Names that a client asks for: an adapter for medical notes, say."""


class PrivacyConfig(Strict):
    """The policy of the one door out of the cluster."""

    local: LocalConfig = LocalConfig()
    """Whose requests stay in the cluster, whatever they hold."""
    default_action: Action = "local"
    """What a find of a kind does that `actions` does not name."""
    actions: dict[str, Action] = Field(default_factory=dict)
    """By kind, as `{email: mask, card: refuse}`. Kinds: `deployments/settings/privacy.py`, and the
    names in `patterns`. Pictures are not looked into: `image` is `ignore` unless said here."""
    patterns: dict[str, str] = Field(default_factory=dict)
    """Kinds of your own, by regular expression: `{medical_record: 'MRN[- ]?\\d{7}'}`. Matched in
    one text at a time, whose look-alikes are folded to ASCII (`ü` to `u`, the pattern's own letters
    too), without regard to case."""
    phone_regions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ("US", "GB")
    """Countries whose telephone numbers are known without `+`. Each costs time for every request;
    with `+` those of all countries are known."""
    max_text_chars: int = Field(2**20, ge=1)
    """Text that is read of one request, characters. Of more nothing is read: it is `opaque`, and
    stays in the cluster whatever `actions` say of that, or is refused where they do."""
    presidio: tuple[Name, ...] = ()
    """Entities that Microsoft Presidio is to look for as well (`PERSON`, `LOCATION`), each a kind
    of that name. Needs `pip install smallfirst[presidio]` and milliseconds to seconds a request."""
    audit_dir: str | None = None
    """Folder of the audit log, on every node; null: none. A line for whatever leaves, by hashes, in
    a hash chain (`smallfirst audit verify`). Where it cannot be written, nothing leaves."""
    audit_key_env: VariableName | None = None
    """NAME of the environment variable that holds a secret to sign the log with: without it, who
    may write the folder can write another chain that fits."""

    def action(self, kind: str) -> Action:
        """What a find of this kind does."""
        default = "ignore" if kind == "image" else self.default_action
        return self.actions.get(kind, default)

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind that has a name here."""
        return frozenset((*KINDS, *self.patterns, *self.presidio))

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: dict[str, str]) -> dict[str, str]:
        for kind, pattern in patterns.items():
            if kind in KINDS or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", kind):
                raise ValueError(f"{kind!r}: a kind is a new word of a-z, 0-9 and _")
            try:
                empty = re.compile(pattern).search("")
            except re.error as error:
                raise ValueError(f"{kind}: no regular expression: {error}") from None
            if empty:
                raise ValueError(f"{kind}: matches the empty text, and with it every request")
            if lost := _lost_in_folding(pattern):
                raise ValueError(
                    f"{kind}: {lost!r} is in no folded text: write the letters, or \\w"
                )
        return patterns

    @field_validator("phone_regions")
    @classmethod
    def _know(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        # Imported here: its tables take a tenth of a second, and most commands need none of them.
        from phonenumbers import SUPPORTED_REGIONS

        if unknown := sorted(set(regions) - SUPPORTED_REGIONS):
            raise ValueError(f"{unknown[0]!r} is no country code that telephones know")
        return regions

    @model_validator(mode="after")
    def _consistent(self) -> "PrivacyConfig":
        if unknown := sorted(self.actions.keys() - self.kinds):
            raise ValueError(f"actions.{unknown[0]}: no such kind; add it to patterns?")
        taken = {kind: self.action(kind) for kind in self.kinds}
        for kind in sorted(UNMASKABLE):
            if taken[kind] == "mask":
                raise ValueError(f"actions.{kind}: cannot be masked: local, refuse or allow")
        if self.audit_dir is None and (audited := [k for k, a in taken.items() if a == "allow"]):
            raise ValueError(
                f"actions.{min(audited)}: allow needs an audit log: set audit_dir, or ignore it"
            )
        if self.audit_key_env is not None and self.audit_dir is None:
            raise ValueError("audit_key_env: there is no audit_dir to sign")
        return self


def _lost_in_folding(pattern: str) -> str | None:
    """A part of a pattern that text never has once it is folded to what it looks like."""
    for part in _PATTERN_PART.finditer(pattern):
        if part["class"] and (ends := _OTHER_RANGE.search(part["class"])):
            return ends[0]
        if part["lost"]:
            return part["lost"]
    return None


def check_egress(egress: Egress, tiers: Mapping[Any, Any]) -> None:
    """Hold tiers to what the application may do. Raises: `ValueError` for a way out of `none`."""
    for name, tier in tiers.items() if egress == "none" else ():
        if tier.upstreams:
            raise ValueError(f"{name}.engine: egress is none, and an upstream is a way out")
        if tier.media_hosts:
            raise ValueError(f"{name}.engine.allowed_media_domains: egress is none")

"""API keys as text: one a line, however an editor or a secret store wrote it."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deployments.settings.config_mistake import ConfigError

# A hundred keys are 10 kB; what is larger is another file, read twice a second by every gateway.
MAX_FILE_BYTES = 1024**2
# UTF-32's mark begins with UTF-16's, so it is looked for first.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Windows editors begin a file with it, and joined files carry it in the middle.
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where API keys come from: the variable that names a file of them, or that lists them."""

    variable: str
    file: Path | None = None
    listed: str = field(default="", repr=False)

    def read(self) -> frozenset[str]:
        """The keys as they are now, at least one; raises as `in_order` does."""
        return frozenset(self.in_order())

    def in_order(self) -> tuple[str, ...]:
        """The keys as they stand, at least one.

        Raises: `ConfigError` in one line that names the variable and the place, never a key.
        """
        text = self.listed.replace(",", "\n") if self.file is None else self._text(self.file)
        try:
            keys = tuple(_keys(text))
        except ValueError as mistake:
            raise ConfigError(f"{self.variable}: {mistake}") from None
        if not keys:
            raise ConfigError(f"{self.variable} is set and holds no key: put one in, or unset it")
        return keys

    def _text(self, file: Path) -> str:
        try:
            # A pipe would block whoever opens it, and could be read only once.
            if not file.is_file():
                raise ConfigError(f"{self.variable}: cannot read {file}: there is no such file")
            with file.open("rb") as stream:
                raw = stream.read(MAX_FILE_BYTES + 1)
            if len(raw) > MAX_FILE_BYTES:
                raise ConfigError(f"{self.variable}: {file} is over {MAX_FILE_BYTES} bytes")
            return _decoded(raw)
        except (OSError, UnicodeDecodeError) as error:
            why = type(error).__name__
            raise ConfigError(f"{self.variable}: cannot read {file}: {why}") from None


def _decoded(raw: bytes) -> str:
    encoding = next((name for mark, name in MARKS if raw.startswith(mark)), "utf-8")
    return raw.decode(encoding)


def _keys(text: str) -> Iterator[str]:
    """The keys of a text, without comments. Raises: `ValueError` with the number of a bad line."""
    for number, line in enumerate(text.splitlines(), start=1):
        key = without_padding(line)
        if key and not key.startswith("#"):
            wrong = "one key a line, without commas" if "," in key else mistake_in(key)
            if wrong:
                raise ValueError(f"line {number}: {wrong}")
            yield key


def mistake_in(key: str) -> str | None:
    """What is wrong with a key, where a client that sends it as written would be refused."""
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        return "a key is printable ASCII without spaces, because an HTTP header carries it"
    if key[0] in "\"'`" or key[-1] in "\"'`":
        return "a key stands without quotes"
    # A key may end in `=`, as base64 does.
    if re.match(r"[A-Za-z_]\w*=[^=]", key):
        return "a key stands alone, without NAME="
    return None


def without_padding(text: str) -> str:
    """The text without blanks, line ends and byte order marks around it."""
    return text.strip().strip(BYTE_ORDER_MARK).strip()

"""Where a command finds the running endpoint, and the key it shows there; every command that talks
to one takes the same options, and none obeys the machine's proxy settings."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import httpx
import typer
from rich.console import Console

from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import client_key

if TYPE_CHECKING:
    import openai

Url = Annotated[str, typer.Option(help="Where the endpoint runs.", envvar="SMALLFIRST_URL")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File whose first key is sent; else the key in SMALLFIRST_API_KEY.",
        envvar="SMALLFIRST_API_KEY_FILE",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        help="Certificates to trust over https, instead of the system's.",
        envvar="SMALLFIRST_CA_FILE",
    ),
]
DEFAULT_URL = "http://127.0.0.1:8000"
errors = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint, as a client sees it."""

    url: str
    key: str | None = None
    trusted: ssl.SSLContext | bool = True

    def client(self, timeout_s: float) -> httpx.Client:
        """A client that carries the key."""
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout_s,
            verify=self.trusted,
            trust_env=False,
        )

    def openai(self, timeout_s: float) -> "openai.OpenAI":
        """OpenAI's client with the same key; it never tries again by itself."""
        # Imported here: it takes as long as everything else that the commands import.
        import openai

        return openai.OpenAI(
            base_url=f"{self.url}/v1",
            api_key=self.key or "none",
            max_retries=0,
            timeout=timeout_s,
            http_client=openai.DefaultHttpxClient(verify=self.trusted, trust_env=False),
        )


def endpoint(url: str, key_file: Path | None, ca_file: Path | None) -> Endpoint:
    """The endpoint that a command's options name. Raises: `ConfigError` where a file is unfit."""
    return endpoint_with_key(url, client_key(key_file), ca_file)


def endpoint_with_key(url: str, key: str | None, ca_file: Path | None) -> Endpoint:
    """The endpoint for a caller with this key. Raises: `ConfigError` where the file is unfit."""
    return Endpoint(url.rstrip("/"), key, _trusted(ca_file))


def _trusted(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        raise ConfigError(f"--ca-file {ca_file}: {error.strerror or 'no certificate'}") from None


def endpoint_or_exit(url: str, key_file: Path | None, ca_file: Path | None) -> Endpoint:
    """The same; ends the command with the mistake in one line."""
    try:
        return endpoint(url, key_file, ca_file)
    except ConfigError as error:
        fail(str(error))


def unreachable(url: str, error: BaseException | None) -> str:
    """What to say where no connection to the endpoint came about."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"{url} shows a certificate that is not trusted: name its authority with --ca-file"
    return f"nothing answers at {url}; start it with: smallfirst serve"


def fail(message: str) -> NoReturn:
    """End the command with one line."""
    errors.print(f"error: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(2)

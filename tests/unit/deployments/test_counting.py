"""A prompt is counted where it could be answered, and fetches nothing that an answer could not."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from deployments.gateway.hints import Hints
from deployments.privacy.policy import Subject
from deployments.protocol.anthropic_request import parse_count
from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.errors import LocalOnlyConflict, PrivateDataRefused, ServingError
from deployments.protocol.token_request import counted
from tests.fakes import FakeTier, Setting

URL = "https://pics.example/x?q=patient"
PICTURE = {"type": "image", "source": {"type": "url", "url": URL}}
COUNT = [Chunk(b'{"count": 1}', Usage(0, 0), False)]
ENGINE = {"kind": "vllm", "path": "/nope", "allowed_media_domains": ["pics.example"]}
SMALL = {"model": "m", "capabilities": ["vision"], "engine": ENGINE}
HINTS = Hints(request_id="r")


async def asked(hints: Hints = HINTS, content: Any = (PICTURE,), **config: Any) -> FakeTier:
    """The small tier, which may fetch from one host, after a count."""
    body = {"messages": [{"role": "user", "content": content}]}
    setting = Setting(small=FakeTier(COUNT), config={"small": SMALL, **config})
    request = counted(parse_count(orjson.dumps(body)))
    try:
        await setting.gateway.counting.document(request, hints)
    except ServingError:
        assert setting.tiers["small"].requests == []
        raise
    return setting.tiers["small"]


async def test_an_image_is_fetched_from_a_host_that_is_allowed() -> None:
    (request,) = (await asked()).requests
    assert (request.media_hosts, request.needs) == (("pics.example",), ("vision",))


@pytest.mark.parametrize(
    ("hints", "config"),
    [
        (replace(HINTS, local_only=True), {}),
        (HINTS, {"local_only": True}),
        (replace(HINTS, subject=Subject(key="k", tenant=None, local_only=True)), {}),
    ],
    ids=["header", "config", "key"],
)
async def test_what_must_stay_fetches_nothing(hints: Hints, config: dict[str, Any]) -> None:
    with pytest.raises(LocalOnlyConflict):
        await asked(hints, **config)


async def test_what_no_model_here_may_see_is_not_counted() -> None:
    privacy = {"actions": {"email": "refuse"}}
    with pytest.raises(PrivateDataRefused):
        await asked(content="I am jane.doe@example.com", privacy=privacy)

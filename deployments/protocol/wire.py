"""What travels between gateway and replica: requests as plain objects, chunks and errors as bytes.

During a rolling update the two sides are of two releases. Within a version fields are only added,
and a reader ignores those it does not know; a change that an old reader must not ignore is a new
version, and a version from the future is refused by name. No class of ours is ever pickled.
"""

import struct
from array import array
from typing import Any

import orjson

from deployments.protocol.chunk import Chunk, Usage
from deployments.protocol.engine import EngineRequest, Purpose
from deployments.protocol.errors import (
    BY_NAME,
    EngineFailure,
    InvalidRequest,
    ReplicaUnavailable,
    ServingError,
)

VERSION = 1

# Version, flags, bytes before the data, prompt tokens, completion tokens, bytes of the finish
# reason and of the model's name. Then log-probabilities, reason, name and release, as flagged; what
# a later release adds stands between these and the data.
_HEAD = struct.Struct("<BBHQQBH")
_COUNT = struct.Struct("<H")
# What the head's one byte can count.
MAX_REASON_BYTES = 255
# Of one frame: an answer is judged by its beginning, and a head has room for 64 KiB.
MAX_LOGPROBS = 8192
_CONTENT, _DONE, _HAS_LOGPROBS, _ERROR, _HAS_RELEASE, _ESTIMATED = 1, 2, 4, 8, 16, 32
_RELEASE_BYTES = 8


def encode(chunk: Chunk) -> bytes:
    """A chunk as bytes."""
    flags = _CONTENT * chunk.content | _DONE * chunk.done | _ESTIMATED * chunk.estimated
    tail = b""
    if chunk.logprobs:
        flags |= _HAS_LOGPROBS
        numbers = array("f", chunk.logprobs[:MAX_LOGPROBS])
        tail = _COUNT.pack(len(numbers)) + numbers.tobytes()
    # Perhaps an upstream's own word, of any length and in any letters.
    finish = (chunk.finish_reason or "").encode("ascii", "replace")[:MAX_REASON_BYTES]
    model, release = chunk.model.encode(), bytes.fromhex(chunk.release)
    flags |= _HAS_RELEASE * bool(release)
    size = _HEAD.size + len(tail) + len(finish) + len(model) + len(release)
    head = _HEAD.pack(VERSION, flags, size, *chunk.usage, len(finish), len(model))
    return b"".join((head, tail, finish, model, release, chunk.data))


def encode_error(error: ServingError) -> bytes:
    """An error as bytes: raising it through Ray would log a traceback and cost milliseconds for
    what may be a client's typing mistake."""
    fields = {
        "name": type(error).__name__,
        "message": error.message,
        "param": error.param,
        "retry_after_s": error.retry_after_s,
    }
    # A message may quote a lone surrogate of the request.
    fields["message"] = error.message.encode(errors="replace").decode()
    head = _HEAD.pack(VERSION, _ERROR, _HEAD.size, 0, 0, 0, 0)
    return head + orjson.dumps(fields)


def decode(frame: bytes) -> Chunk:
    """The chunk in a frame.

    Raises: the `ServingError` in it, or `ReplicaUnavailable` where it is of another version.
    """
    if not frame or frame[0] != VERSION:
        raise ReplicaUnavailable("The replica is of another release than this gateway.")
    _, flags, size, prompt, completion, finish_size, model_size = _HEAD.unpack_from(frame)
    if flags & _ERROR:
        raise _error(frame[size:])
    at = _HEAD.size
    logprobs: tuple[float, ...] = ()
    if flags & _HAS_LOGPROBS:
        (count,) = _COUNT.unpack_from(frame, at)
        begins = at + _COUNT.size
        at = begins + 4 * count
        logprobs = tuple(array("f", frame[begins:at]))
    model_at = at + finish_size
    release_at = model_at + model_size
    release = frame[release_at : release_at + _RELEASE_BYTES] if flags & _HAS_RELEASE else b""
    return Chunk(
        frame[size:],
        Usage(prompt, completion),
        bool(flags & _CONTENT),
        frame[at:model_at].decode() or None,
        logprobs,
        frame[model_at:release_at].decode(),
        bool(flags & _DONE),
        release.hex(),
        bool(flags & _ESTIMATED),
    )


def _error(document: bytes) -> ServingError:
    fields = orjson.loads(document)
    # A class that only the other release has: all that is known is that the engine failed.
    kind = BY_NAME.get(fields["name"], EngineFailure)
    error = kind(fields["message"], fields.get("param"))
    error.retry_after_s = fields.get("retry_after_s")
    return error


def encode_request(request: EngineRequest) -> dict[str, Any]:
    """A request as an object of plain types."""
    return {
        "version": VERSION,
        # A purpose in the place of the endpoint: an old replica that does not know it refuses it.
        "endpoint": request.endpoint if request.purpose == "answer" else request.purpose,
        "body": request.body,
        "request_id": request.request_id,
        "adapter": request.adapter,
        "local_only": request.local_only,
        "timeout_s": request.timeout_s,
        "logprobs": request.logprobs,
        "needs": request.needs,
        "media_hosts": request.media_hosts,
        "hops": request.hops,
    }


def decode_request(fields: dict[str, Any]) -> EngineRequest:
    """The request in an object.

    Raises: `ReplicaUnavailable` where it is of another version.
    """
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        raise ReplicaUnavailable("The gateway is of another release than this replica.")
    endpoint = fields["endpoint"]
    purpose: Purpose = "answer"
    if endpoint in ("tokenize", "detokenize"):
        purpose, endpoint = endpoint, "chat" if "messages" in fields["body"] else "completions"
    if endpoint not in ("chat", "completions"):
        raise InvalidRequest("This replica does not know the endpoint.")
    return EngineRequest(
        endpoint=endpoint,
        body=fields["body"],
        request_id=fields["request_id"],
        adapter=fields["adapter"],
        local_only=fields["local_only"],
        timeout_s=fields["timeout_s"],
        logprobs=fields.get("logprobs", False),
        needs=tuple(fields.get("needs", ())),
        media_hosts=tuple(fields.get("media_hosts", ())),
        hops=fields.get("hops", 0),
        purpose=purpose,
    )

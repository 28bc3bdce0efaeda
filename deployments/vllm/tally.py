"""What a request has cost so far, counted where vLLM hands its outputs over: without reading the
JSON that it makes of them, and without asking for anything that the client would then see."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from deployments.protocol.chunk import Usage


@dataclass(slots=True)
class Tally:
    """The tokens of one request, over all its prompts and choices."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    # Whether the tokens' log-probabilities are wanted, for whoever judges the answer.
    wants_logprobs: bool = False
    # Those that nobody has taken yet.
    logprobs: list[float] = field(default_factory=list)
    # Of each generation whose output comes at its end alone, what it has come to.
    unfinished: list[Callable[[], Usage]] = field(default_factory=list)

    def taken_logprobs(self) -> tuple[float, ...]:
        """What has come since it was taken last."""
        taken = tuple(self.logprobs)
        self.logprobs.clear()
        return taken

    @property
    def usage(self) -> Usage:
        """The tokens so far."""
        going = [so_far() for so_far in self.unfinished]
        return Usage(
            self.prompt_tokens + sum(usage.prompt_tokens for usage in going),
            self.completion_tokens + sum(usage.completion_tokens for usage in going),
        )


# Of the request that the running task answers. vLLM's serving objects ask the engine from there.
TALLY: ContextVar[Tally] = ContextVar("tally")


class TallyingLLM(AsyncLLM):
    """vLLM's engine client; every output passes the tally of the request that asked for it."""

    def generate(
        self,
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        *args: Any,
        **options: Any,
    ) -> AsyncGenerator[RequestOutput, None]:
        """The engine's outputs for one prompt."""
        tally = TALLY.get(None)
        if tally is not None and tally.wants_logprobs and sampling_params.logprobs is None:
            # The sampled token's alone. The serving objects, which look at what the client asked
            # for, make no JSON of it.
            sampling_params.logprobs = 0
        outputs: AsyncGenerator[RequestOutput, None] = super().generate(
            prompt, sampling_params, request_id, *args, **options
        )
        # Cumulative outputs repeat what was counted: only beam search asks for them, step by step.
        if tally is None or sampling_params.output_kind is RequestOutputKind.CUMULATIVE:
            return outputs
        so_far = None
        if sampling_params.output_kind is RequestOutputKind.FINAL_ONLY:
            so_far = partial(_so_far, self.output_processor, request_id)
        return _tallied(outputs, tally, so_far)


def _so_far(processor: Any, request_id: str) -> Usage:
    """What a generation has come to, read where vLLM keeps it until the end."""
    states = [
        processor.request_states[each]
        for each in processor.external_req_ids.get(request_id, ())
        if each in processor.request_states
    ]
    # Several choices share their prompt.
    prompt_tokens = max((state.prompt_len for state in states), default=0)
    return Usage(prompt_tokens, sum(s.detokenizer.num_output_tokens() for s in states))


async def _tallied(
    outputs: AsyncGenerator[RequestOutput, None],
    tally: Tally,
    so_far: Callable[[], Usage] | None,
) -> AsyncGenerator[RequestOutput, None]:
    """The same outputs; closed with this iterator, which is what aborts a request."""
    prompt_tokens = 0
    if so_far is not None:
        tally.unfinished.append(so_far)
    async with aclosing(outputs):
        async for output in outputs:
            if so_far in tally.unfinished:
                tally.unfinished.remove(so_far)
            if not prompt_tokens and output.prompt_token_ids:
                prompt_tokens = len(output.prompt_token_ids)
                tally.prompt_tokens += prompt_tokens
            for choice in output.outputs:
                tally.completion_tokens += len(choice.token_ids)
                if tally.wants_logprobs and choice.logprobs:
                    tally.logprobs += _sampled(choice)
            yield output


def _sampled(choice: CompletionOutput) -> list[float]:
    """The log-probabilities of the tokens that were sampled, in order."""
    pairs = zip(choice.token_ids, choice.logprobs or (), strict=False)
    return [found.logprob for token, given in pairs if (found := given.get(token)) is not None]

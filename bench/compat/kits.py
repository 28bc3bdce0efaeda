"""What each client library does once against an endpoint: a question, whole and streamed, a call.

Runs in an environment that holds one library, not this project: `python kits.py NAME URL MODEL`
prints a line of JSON for each check. Nothing here is imported from the project.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module as use
from typing import Any

SAYS = "What is the capital of France?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "look_up", "description": "Looks a city up.", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
Checks = dict[str, Callable[[], Any]]


def openai(url: str, model: str) -> Checks:
    OpenAI = use("openai").OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    asked: Any = {"model": model, "messages": [{"role": "user", "content": SAYS}], "max_tokens": 20}
    flat: Any = {"type": "function", **FUNCTION}

    def called() -> Any:
        answer = client.chat.completions.create(**asked | {"max_tokens": 200}, tools=[TOOL],
                                                tool_choice="required")  # fmt: skip
        return answer.choices[0].message.tool_calls[0].function.arguments

    def responded() -> Any:
        answer = client.responses.create(
            model=model, input=SAYS, tools=[flat], tool_choice="required"
        )
        return answer.output[0].arguments

    def streamed_response() -> Any:
        with client.responses.stream(model=model, input=SAYS) as stream:
            for _ in stream:
                pass
            return stream.get_final_response().output_text

    return {
        "chat": lambda: client.chat.completions.create(**asked).choices[0].message.content,
        "chat stream": lambda: _joined(
            chunk.choices[0].delta.content
            for chunk in client.chat.completions.create(**asked, stream=True)
            if chunk.choices
        ),
        "chat tool": called,
        "responses": lambda: client.responses.create(model=model, input=SAYS).output_text,
        "responses stream": streamed_response,
        "responses tool": responded,
        "models": lambda: [found.id for found in client.models.list()],
    }


def anthropic(url: str, model: str) -> Checks:
    Anthropic = use("anthropic").Anthropic

    client = Anthropic(base_url=url, api_key="none", max_retries=0)
    asked: Any = {
        "model": model,
        "messages": [{"role": "user", "content": SAYS}],
        "max_tokens": 200,
    }
    tools: Any = [{"name": "look_up", "input_schema": SCHEMA}]

    def streamed() -> Any:
        with client.messages.stream(**asked) as stream:
            return _joined(stream.text_stream)

    return {
        "messages": lambda: client.messages.create(**asked).content[0].text,
        "messages stream": streamed,
        "messages tool": lambda: (
            client.messages.create(**asked, tools=tools, tool_choice={"type": "any"})
            .content[0]
            .input
        ),
        "count_tokens": lambda: (
            client.messages.count_tokens(model="small", messages=asked["messages"]).input_tokens
        ),
        "models": lambda: [found.id for found in client.models.list()],
    }


def litellm(url: str, model: str) -> Checks:
    litellm = use("litellm")

    chat: Any = {"model": f"openai/{model}", "api_base": f"{url}/v1", "api_key": "none",
                 "messages": [{"role": "user", "content": SAYS}], "max_tokens": 20}  # fmt: skip
    messages = chat | {"model": f"anthropic/{model}", "api_base": url}
    responses = {name: chat[name] for name in ("model", "api_base", "api_key")}
    return {
        "chat": lambda: litellm.completion(**chat).choices[0].message.content,
        "chat stream": lambda: _joined(
            chunk.choices[0].delta.content for chunk in litellm.completion(**chat, stream=True)
        ),
        "messages": lambda: litellm.completion(**messages).choices[0].message.content,
        "responses": lambda: litellm.responses(**responses, input=SAYS).output[0].content[0].text,
    }


def langchain(url: str, model: str) -> Checks:
    ChatAnthropic = use("langchain_anthropic").ChatAnthropic
    ChatOpenAI = use("langchain_openai").ChatOpenAI

    given: Any = {"model": model, "api_key": "none", "max_retries": 0}
    kits: Any = {
        "chat": ChatOpenAI(base_url=f"{url}/v1", **given),
        "responses": ChatOpenAI(base_url=f"{url}/v1", use_responses_api=True, **given),
        "messages": ChatAnthropic(base_url=url, max_tokens=200, **given),
    }
    checks: Checks = {}
    for name, kit in kits.items():
        bound = kit.bind_tools([TOOL], tool_choice="look_up")
        checks[name] = partial(_invoked, kit)
        checks[f"{name} stream"] = partial(_streamed, kit)
        checks[f"{name} tool"] = partial(_called, bound)
    return checks


def _invoked(kit: Any) -> Any:
    return kit.invoke(SAYS).text


def _streamed(kit: Any) -> str:
    return _joined(part.text for part in kit.stream(SAYS))


def _called(bound: Any) -> Any:
    return bound.invoke(SAYS).tool_calls[0]["args"]


def llama_index(url: str, model: str) -> Checks:
    OpenAILike = use("llama_index.llms.openai_like").OpenAILike

    kit = OpenAILike(model=model, api_base=f"{url}/v1", api_key="none", is_chat_model=True)
    return {
        "chat": lambda: kit.complete(SAYS).text,
        "chat stream": lambda: _joined(part.delta for part in kit.stream_complete(SAYS)),
    }


def instructor(url: str, model: str) -> Checks:
    instructor = use("instructor")
    OpenAI = use("openai").OpenAI
    BaseModel = use("pydantic").BaseModel

    City = type("City", (BaseModel,), {"__annotations__": {"city": str}})

    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    asked: Any = {"model": model, "messages": [{"role": "user", "content": SAYS}]}
    modes = {"tools": instructor.Mode.TOOLS, "json schema": instructor.Mode.JSON_SCHEMA}

    def made(mode: Any) -> Any:
        kit = instructor.from_openai(client, mode=mode)
        return kit.chat.completions.create(response_model=City, **asked).city

    return {name: partial(made, mode) for name, mode in modes.items()}


def pydantic_ai(url: str, model: str) -> Checks:
    Agent = use("pydantic_ai").Agent
    AnthropicModel = use("pydantic_ai.models.anthropic").AnthropicModel
    OpenAIChatModel = use("pydantic_ai.models.openai").OpenAIChatModel
    OpenAIResponsesModel = use("pydantic_ai.models.openai").OpenAIResponsesModel
    AnthropicProvider = use("pydantic_ai.providers.anthropic").AnthropicProvider
    OpenAIProvider = use("pydantic_ai.providers.openai").OpenAIProvider

    ours = OpenAIProvider(base_url=f"{url}/v1", api_key="none")
    theirs = AnthropicProvider(base_url=url, api_key="none")
    kits: Any = {
        "chat": Agent(OpenAIChatModel(model, provider=ours)),
        "responses": Agent(OpenAIResponsesModel(model, provider=ours)),
        "messages": Agent(AnthropicModel(model, provider=theirs)),
    }

    def answered(agent: Any) -> Any:
        return agent.run_sync(SAYS).output

    def streamed(agent: Any) -> Any:
        async def read() -> Any:
            async with agent.run_stream(SAYS) as result:
                return await result.get_output()

        return asyncio.run(read())

    checks: Checks = {}
    for name, agent in kits.items():
        checks[name] = partial(answered, agent)
        checks[f"{name} stream"] = partial(streamed, agent)
    return checks


def openai_agents(url: str, model: str) -> Checks:
    Agent = use("agents").Agent
    OpenAIChatCompletionsModel = use("agents").OpenAIChatCompletionsModel
    OpenAIResponsesModel = use("agents").OpenAIResponsesModel
    Runner = use("agents").Runner
    set_tracing_disabled = use("agents").set_tracing_disabled
    AsyncOpenAI = use("openai").AsyncOpenAI

    set_tracing_disabled(True)

    async def run(kind: Any, stream: bool) -> Any:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        agent = Agent(name="a", model=kind(model=model, openai_client=client))
        if not stream:
            return (await Runner.run(agent, SAYS)).final_output
        result = Runner.run_streamed(agent, SAYS)
        async for _ in result.stream_events():
            pass
        return result.final_output

    def ran(kind: Any, stream: bool) -> Any:
        return asyncio.run(run(kind, stream))

    kinds = {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}
    whole: Checks = {name: partial(ran, kind, False) for name, kind in kinds.items()}
    return whole | {f"{name} stream": partial(ran, kind, True) for name, kind in kinds.items()}


def llm(url: str, model: str) -> Checks:
    Chat = use("llm.default_plugins.openai_models").Chat

    kit = Chat(model_id=f"ours/{model}", model_name=model, api_base=f"{url}/v1")
    return {
        "chat": lambda: kit.prompt(SAYS, key="none", stream=False).text(),
        "chat stream": lambda: _joined(kit.prompt(SAYS, key="none", stream=True)),
    }


def _joined(texts: Any) -> str:
    return "".join(text or "" for text in texts)


KITS = {
    kit.__name__: kit
    for kit in (openai, anthropic, litellm, langchain, llama_index, instructor, pydantic_ai)
} | {"openai_agents": openai_agents, "llm": llm}


def main(name: str, url: str, model: str) -> None:
    """Print what became of each check: nothing, or why it failed in one line."""
    for check, run in KITS[name](url, model).items():
        try:
            failed = "" if run() else "an empty answer"
        except Exception as error:
            failed = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        print(json.dumps({"check": check, "failed": failed}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])

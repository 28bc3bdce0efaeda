"""Other people's routers behind one function each; run by `side_by_side` in a venv of their own.

Standard input: {"router", "train": [[prompt, "small" | "large"], ...], "judge": [prompt, ...],
"time": [prompt, ...], "encoder": folder}. Standard output: {"scores", "large", "ms"}: a rank of
each judged prompt, whether the router's own default sends it large, milliseconds of each timed one.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: A prompt to its rank (higher: sooner large) and the router's own choice.
Route = Callable[[str], tuple[float, bool]]
_LARGE_TIERS = ("COMPLEX", "REASONING")


def _litellm(classifier_type: str) -> Any:
    """LiteLLM's complexity router as its documentation sets it up, without calling a model."""
    from litellm import Router  # type: ignore[import-not-found]

    models = [
        {"model_name": name, "litellm_params": {"model": "openai/none", "api_key": "none"}}
        for name in ("fast", "capable")
    ]
    tiers = {"SIMPLE": "fast", "MEDIUM": "fast", "COMPLEX": "capable", "REASONING": "capable"}
    routing = {
        "model": "auto_router/complexity_router",
        "complexity_router_config": {"classifier_type": classifier_type, "tiers": tiers},
        "complexity_router_default_model": "capable",
    }
    router = Router(model_list=[*models, {"model_name": "auto", "litellm_params": routing}])
    return router.complexity_routers["auto"][0].strategy


def litellm_heuristic(_task: dict[str, Any]) -> Route:
    """Its default: weighted keyword and length dimensions."""
    router = _litellm("heuristic")

    def route(prompt: str) -> tuple[float, bool]:
        tier, score, _ = router.classify(prompt)
        return float(score), getattr(tier, "value", tier) in _LARGE_TIERS

    return route


def litellm_heuristic_v2(_task: dict[str, Any]) -> Route:
    """Its cohort table of success rates; the rank is what its dearest tier adds to its cheapest."""
    router = _litellm("heuristic_v2")

    def route(prompt: str) -> tuple[float, bool]:
        found = router._classify_locally(prompt, None)
        chances = list(found.heuristic_v2_forecast["probabilities"].values())
        return chances[-1] - chances[0], getattr(found.tier, "value", found.tier) in _LARGE_TIERS

    return route


def semantic_router(task: dict[str, Any]) -> Route:
    """Aurelio's router over two routes of labelled utterances, its settings as they come.

    Its local encoders load from a hub; here the same frozen MiniLM (fp32) is handed to it.
    """
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]
    from semantic_router import IndexedRouter, Route  # type: ignore[import-not-found]
    from semantic_router.encoders import DenseEncoder  # type: ignore[import-not-found]
    from tokenizers import Tokenizer

    folder = Path(task["encoder"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "frozen.onnx"), options)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)

    class MiniLM(DenseEncoder):  # type: ignore[misc]
        def __call__(self, docs: list[str]) -> list[list[float]]:
            return [self._one(doc) for doc in docs]

        def _one(self, doc: str) -> list[float]:
            ids = [tokenizer.encode(doc).ids]
            (vectors,) = session.run(None, {"ids": ids, "mask": [[1] * len(ids[0])]})
            found: list[float] = vectors[0].tolist()
            return found

    routes = [
        Route(name=name, utterances=[p for p, label in task["train"] if label == name])
        for name in ("small", "large")
    ]
    router = IndexedRouter(encoder=MiniLM(name="minilm"), routes=routes)

    def route(prompt: str) -> tuple[float, bool]:
        choices = {c.name: c.confidence for c in router(prompt, limit=None)}
        large, small = choices.get("large", 0.0), choices.get("small", 0.0)
        return large - small, large > small

    return route


ROUTERS: dict[str, Callable[[dict[str, Any]], Route]] = {
    "litellm heuristic": litellm_heuristic,
    "litellm heuristic_v2": litellm_heuristic_v2,
    "semantic-router": semantic_router,
}


def main() -> None:
    """Answer one task."""
    task = json.load(sys.stdin)
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is not the answer
    route = ROUTERS[task["router"]](task)
    judged = [route(prompt) for prompt in task["judge"]]
    ms = []
    for prompt in task["time"]:
        started = time.perf_counter()
        route(prompt)
        ms.append(1e3 * (time.perf_counter() - started))
    scores, large = zip(*judged, strict=True)
    json.dump({"scores": scores, "large": large, "ms": ms}, answers)


if __name__ == "__main__":
    main()

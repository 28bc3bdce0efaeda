"""Fine-tunes the first layers of MiniLM with two heads on the CPU, and writes them as ONNX."""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifier.tokens import open_tokenizer, token_ids
from classifier.training.base_weights import source
from classifier.training.minilm import HIDDEN, MiniLM, load_minilm
from classifier.training.recipe import Recipe

Progress = Callable[[float], None]


#: At 0.5 s a step, at most 25 s of work are lost; a checkpoint is 220 MB and takes 0.5 s.
CHECKPOINT_STEPS = 50


class Encoder(nn.Module):  # type: ignore[misc]  # torch is untyped for us
    """MiniLM with two linear heads: [batch, 2] logits of P(small right), P(large right)."""

    def __init__(self, body: MiniLM) -> None:
        super().__init__()
        self.body, self.drop, self.heads = body, nn.Dropout(0.1), nn.Linear(HIDDEN, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits of padded token ids under their mask."""
        logits: Tensor = self.heads(self.drop(self.body(ids, mask)))
        return logits


def fit_neural(
    examples: tuple[Sequence[str], NDArray[np.float64], NDArray[np.float64]],
    recipe: Recipe,
    progress: Progress = lambda _: None,
) -> Encoder:
    """Return the encoder fine-tuned on texts, labels [rows, 2] and weights.

    ``progress`` is called with the share done.
    """
    texts, labels, weights = examples
    torch.manual_seed(recipe.seed)
    model = Encoder(load_minilm(recipe.layers)).train()
    rows = token_ids(open_tokenizer((source() / "tokenizer.json").read_bytes()), texts)
    steps = recipe.epochs * -(-len(rows) // recipe.batch)
    trainer = _Trainer(model, recipe, steps)
    for step, index in enumerate(_batches(rows, recipe)):
        if step < trainer.done:
            continue
        ids, mask = _padded([rows[i] for i in index])
        trainer.step(ids, mask, torch.tensor(labels[index]), torch.tensor(weights[index]))
        progress(trainer.done / steps)
    return model.eval()  # type: ignore[no-any-return]  # torch is untyped for us


class _Trainer:
    """The optimiser's side of training, which can be stopped and resumed."""

    def __init__(self, model: Encoder, recipe: Recipe, steps: int) -> None:
        self.model, self.done, self.path = model, 0, recipe.checkpoint
        body = {"params": model.body.parameters(), "lr": recipe.rate}
        heads = {"params": model.heads.parameters(), "lr": recipe.head_rate}
        self.optimiser = torch.optim.AdamW([body, heads], weight_decay=0.01)
        warm = max(int(recipe.warmup * steps), 1)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda s: min((s + 1) / warm, (steps - s) / max(steps - warm, 1))
        )
        # Half the time of float32 where the CPU has bfloat16 (0.47 against 0.93 s a step).
        self.bfloat16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        if self.path is not None and self.path.is_file():
            saved = torch.load(self.path, weights_only=True)
            self.done = saved["done"]
            for part in ("model", "optimiser", "schedule"):
                getattr(self, part).load_state_dict(saved[part])

    def step(self, ids: Tensor, mask: Tensor, labels: Tensor, weights: Tensor) -> None:
        """Learn from one batch, and save where the recipe asks for it."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            logits = self.model(ids, mask)
        self.optimiser.zero_grad()
        _loss(logits.float(), labels, weights).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.done += 1
        if self.path is not None and self.done % CHECKPOINT_STEPS == 0:
            parts = {p: getattr(self, p).state_dict() for p in ("model", "optimiser", "schedule")}
            torch.save({"done": self.done, **parts}, self.path.with_suffix(".new"))
            self.path.with_suffix(".new").replace(self.path)


def _loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy against fractional labels; a tier that never ran gives no gradient."""
    known = ~torch.isnan(labels)
    target = torch.where(known, labels, 0.0).to(logits.dtype)
    each = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight = known * weights[:, None]
    loss: Tensor = (each * weight).sum() / weight.sum().clamp(min=1e-6)
    return loss


def _batches(rows: Sequence[Sequence[int]], recipe: Recipe) -> Iterator[NDArray[np.int64]]:
    """Yield shuffled batches of rows of like length, which halves the padding."""
    rng = np.random.default_rng(recipe.seed)
    lengths = np.array([len(r) for r in rows])
    for _ in range(recipe.epochs):
        order = np.argsort(lengths + rng.uniform(0, 12, len(rows)))
        starts = np.arange(0, len(rows), recipe.batch)
        for start in rng.permutation(starts):
            yield order[start : start + recipe.batch]


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def predict(model: Encoder, texts: Sequence[str], batch: int = 64) -> NDArray[np.float32]:
    """Return the trained model's own logits [texts, 2], in float32 PyTorch."""
    rows = token_ids(open_tokenizer((source() / "tokenizer.json").read_bytes()), texts)
    order = np.argsort([len(r) for r in rows])
    out = np.zeros((len(rows), 2), np.float32)
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            index = order[start : start + batch]
            out[index] = model(*_padded([rows[i] for i in index])).numpy()
    return out


def export(model: nn.Module) -> bytes:
    """Return an encoder as a float32 ONNX graph with free batch and token axes.

    Works for ``Encoder`` (two logits) and for a frozen ``MiniLM`` (its sentence vector).
    """
    ids, mask = _padded([[101, 2_000, 2_001, 102], [101, 102]])
    buffer = io.BytesIO()
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():  # the older exporter, since the newer one needs onnxscript
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (ids, mask),
            buffer,
            input_names=["ids", "mask"],
            output_names=["output"],
            dynamic_axes={"ids": axes, "mask": axes, "output": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    return buffer.getvalue()


def quantise(graph: bytes) -> bytes:
    """Return the graph with int8 weights: matrices per channel, the word table per tensor.

    Matrices keep to [-64, 64]. Without VNNI an x86 core adds two products of an activation (8 bits
    unsigned) and a weight in 16 bits and clips: 2 * 255 * 127 does not fit, 2 * 255 * 64 does. With
    eight bits, logits moved there by up to 0.3 (docs/decisions/0015-weights-of-seven-bits.md).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _unadvised(), tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(graph)
        quantize_dynamic(
            before,
            after,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather"],
        )
        return after.read_bytes()


@contextmanager
def _unadvised() -> Iterator[None]:
    """Keep onnxruntime's advice to optimise the graph first, where it is not asked for, away."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

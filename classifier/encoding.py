"""Runs an encoder's ONNX graph on texts, one thread, one text at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.tokens import open_tokenizer, token_ids


class Encoding:
    """A session over token ids; the graph's output is a vector a text."""

    def __init__(self, graph: bytes, tokenizer: bytes) -> None:
        import onnxruntime  # optional: without it the artefact's lexical rung serves

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        # The fused kernel takes 0.15 ms where addition and normalisation apart take 0.03 (75
        # tokens, onnxruntime 1.32); the logits differ by less than 1e-6.
        self._session = onnxruntime.InferenceSession(
            graph,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        self._tokenizer = open_tokenizer(tokenizer)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return [texts, outputs].

        Never a padded batch: dynamic quantisation scales over the whole tensor, so in a batch
        one user's route would depend on another's prompt. On one thread batching gains nothing
        at 75 tokens anyway.
        """
        return np.concatenate([self._run(ids) for ids in token_ids(self._tokenizer, texts)])

    def _run(self, ids: list[int]) -> NDArray[np.float32]:
        row = np.array([ids], np.int64)
        feed = {"ids": row, "mask": np.ones_like(row)}
        output: NDArray[np.float32] = self._session.run(None, feed)[0]
        return output

"""Settings of the simulated engine: how fast it is, how much fits, and what goes wrong when.

The defaults are the arithmetic of a 7B INT4 model on a quarter of an NVIDIA A10 (600 GB/s,
125 TFLOP/s FP16, 24 GiB; A10 data sheet), not a measurement: put your own engine's numbers in.
"""

from typing import Annotated, Literal

from pydantic import Field

from deployments.settings.group import Strict

Fault = Literal["die", "stall", "refuse_429", "refuse_503", "cut", "malformed"]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FaultRule(Strict):
    """One thing that goes wrong; without a condition it strikes every request."""

    fault: Fault
    """die: the engine is dead for good. stall: nothing makes progress any more. refuse_*: the
    request is turned away. cut: the answer fails half-way. malformed: broken JSON half-way."""
    after_requests: Annotated[int, Field(ge=0)] | None = None
    """Requests that pass before the rule strikes. None: not counted."""
    after_s: Seconds | None = None
    """Seconds after start-up before it strikes; a lone `after_s` makes die and stall happen at
    that moment, without a request. None: no waiting."""
    rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Fraction of the requests struck, drawn from the seed and the request's id."""

    @property
    def timed(self) -> bool:
        """Whether it happens by the clock alone."""
        whole_engine = self.fault in ("die", "stall")
        return whole_engine and self.after_s is not None and self.after_requests is None


class SimulatedEngineConfig(Strict):
    """A model's speed and size, and its faults; the same seed repeats the same run."""

    kind: Literal["simulated"] = "simulated"
    """Tells the engines apart in a tier's config."""
    first_token_delay_s: Seconds = 0.01
    """Seconds before the first token, apart from reading the prompt and from the decoding step
    that is under way when others run: one step of its own."""
    inter_token_delay_s: Seconds = 0.01
    """Seconds between tokens of a request that runs alone: 4 GB of weights at 600 GB/s is 7 ms,
    10 ms at the 70% of peak bandwidth that kernels reach."""
    inter_token_delay_growth: Annotated[float, Field(ge=0)] = 0.02
    """Fraction added to it by each further running request, which reads its own KV cache: 1,000
    tokens of 128 KiB at 600 GB/s is 0.2 ms, 2% of 10 ms."""
    prompt_tokens_per_s: Annotated[float, Field(gt=0)] = 3500.0
    """Tokens of prompt read per second: 14 GFLOP a token at 40% of 125 TFLOP/s."""
    max_num_seqs: Annotated[int, Field(ge=1)] = 16
    """Requests that run at once; more wait in the order they came. What 16,384 tokens of KV
    cache hold at 1,000 tokens a request."""
    kv_cache_tokens: Annotated[int, Field(ge=1)] = 16384
    """Tokens of KV cache: a quarter of 24 GiB less 4 GiB of weights, at 128 KiB a token."""
    max_model_len: Annotated[int, Field(ge=2)] = 4096
    """Tokens of prompt and answer together; longer is refused. A quarter of the KV cache, so
    that one request cannot starve the others."""
    mean_completion_tokens: Annotated[int, Field(ge=1)] = 200
    """Tokens of an answer whose client set no limit: mean of an exponential distribution. The
    mean answer of Azure's 2023 conversation trace is 211 (Patel et al., Splitwise, 2024)."""
    max_loras: Annotated[int, Field(ge=0)] = 0
    """Adapters it answers for at once; it says the same under each name."""
    startup_s: Seconds = 0.0
    """Seconds until the engine is ready. Zero lets tests and demonstrations begin at once; a
    real engine loads weights first, and a rehearsal of scaling needs that time."""
    seed: int = 0
    """Draws the texts, the lengths and which requests a fault's rate strikes."""
    faults: tuple[FaultRule, ...] = ()
    """What goes wrong; the first rule that applies to a request decides."""
    allow_drills: bool = False
    """True: a request may name its own fault, `"user": "drill:die"`. Off, because any client
    could then kill a replica."""

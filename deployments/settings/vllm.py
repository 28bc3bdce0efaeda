"""Settings of one vLLM engine, under vLLM's own names."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from deployments.settings.group import Strict

BUILTIN = "builtin:"
BUILTIN_MODELS = ("builtin:small", "builtin:large")


class VllmConfig(Strict):
    """One vLLM engine; the names are vLLM's own."""

    kind: Literal["vllm"] = "vllm"
    path: str = Field("builtin:small", min_length=1)
    """Checkpoint folder on every node, or `builtin:small` / `builtin:large`: the bundled SmolLM2
    as INT4 or unquantised, converted on first use into the user's cache."""
    max_model_len: int = Field(2048, ge=16)
    """Context window in tokens, prompt and answer together. 2,048 holds bounded enterprise work
    and keeps one sequence's KV cache at 45 MiB for the bundled model."""
    max_num_seqs: int = Field(16, ge=1)
    """Sequences decoded in one batch. On 2 CPU cores throughput is flat beyond 16 (140 tokens/s at
    16 and at 32 clients; bench/overhead)."""
    kv_cache_memory_bytes: int = Field(512 * 1024**2, ge=1)
    """KV cache of one replica, bytes. Fixed, so that replicas that share a GPU never measure each
    other's memory (vllm#55827). 512 MiB holds 11 full contexts of the bundled model."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs that one replica spans."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Activations; `auto` follows the checkpoint."""
    enforce_eager: bool = True
    """No graph compilation: compiled mode gave wrong text on the CPU build of vLLM 0.32. Set false
    on GPUs."""
    tool_call_parser: str | None = "hermes"
    """vLLM's parser for `tool_choice: auto`; null turns automatic tool calls off."""
    allowed_media_domains: list[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]] = Field([])
    """Hosts that the engine may fetch images from. Empty: none, and images come with the request
    as `data:` URLs: a URL that a client names is a way out of the cluster, and into it."""
    cpu_threads: str | None = None
    """CPU build only: cores to bind OpenMP threads to (`VLLM_CPU_OMP_THREADS_BIND`), `0-31`.
    Null leaves them unbound, so that replicas on one machine share its cores."""
    max_loras: int = Field(0, ge=0)
    """Adapters that one batch may mix; 0 leaves LoRA out. Each costs memory for its weights."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256] = 16
    """Largest rank of an adapter, one of vLLM's sizes; vLLM reserves room for it."""
    extra_args: dict[str, Any] = Field({})
    """Further `vllm serve` options by their long names, for what this table does not list."""

    @field_validator("path")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value.startswith(BUILTIN) and value not in BUILTIN_MODELS:
            raise ValueError(f"unknown bundled model: use {' or '.join(BUILTIN_MODELS)}")
        return value


class AdapterConfig(Strict):
    """A LoRA adapter on a tier's model: a fine-tuned variant under a name of its own."""

    path: str = Field(min_length=1)
    """Adapter folder on every node (`adapter_config.json`, `adapter_model.safetensors`)."""
    domain: str | None = None
    """`auto` requests that the classifier puts into this domain, one of `classifier.domains`, go to
    the adapter when they go to its tier; null: only requests that name it."""

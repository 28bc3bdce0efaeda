"""From a checkpoint and a GPU to a plan: joins what `models` reads to what `autoscale` computes."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autoscale.packing.gpus import Gpu
from autoscale.packing.kv import Demand, KvLayers
from autoscale.packing.plan import (
    Footprint,
    GpuPlan,
    Overheads,
    activation_bytes,
    pack,
)
from autoscale.packing.throughput import Recommendation, recommend, throughput
from deployments.settings.config_mistake import ConfigError
from models.checkpoint import CheckpointFacts


class Calibration(BaseModel):
    """Measured replacements for the assumed overheads, from a JSON file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cuda_context_bytes: int | None = Field(default=None, ge=0)
    non_torch_bytes: int | None = Field(default=None, ge=0)
    cuda_graph_bytes: int | None = Field(default=None, ge=0)
    activation_bytes: int | None = Field(default=None, ge=0)
    reserve_fraction: float | None = Field(default=None, ge=0, lt=1)
    colocation_efficiency: float | None = Field(default=None, gt=0, le=1)
    host_step_s: float | None = Field(default=None, ge=0)

    def overheads(self) -> Overheads:
        """The default overheads with the measured ones in their place."""
        measured = self.model_dump(exclude={"activation_bytes"}, exclude_none=True)
        return replace(Overheads(), **measured)


def read_calibration(path: Path | None) -> Calibration:
    """The calibration in `path`; without a path, none. `ConfigError` names a wrong key."""
    if path is None:
        return Calibration()
    try:
        return Calibration.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path.name}: {key}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path.name} is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """One model on one kind of GPU, with what it was computed from."""

    facts: CheckpointFacts
    gpu: Gpu
    gpus: int
    demand: Demand
    overheads: Overheads
    assumed: tuple[str, ...]
    packed: GpuPlan
    max_num_seqs: int
    recommendation: Recommendation | None

    def as_json(self) -> dict[str, Any]:
        """The plan for programs: flat figures of one GPU, then their sources."""
        packed = asdict(self.packed)
        return packed | {
            "model": self.facts.name,
            "weights_estimated": self.facts.estimated,
            "kv_dtype": self.facts.kv_dtype,
            "beside_bytes": self.facts.beside_bytes,
            "gpu": self.gpu.name,
            "gpu_memory_bytes": self.gpu.memory_bytes,
            "gpus": self.gpus,
            "replicas": self.gpus * self.packed.replicas_per_gpu,
            "max_model_len": self.demand.max_model_len,
            "block_size": self.demand.block_size,
            "max_num_batched_tokens": self.demand.max_num_batched_tokens,
            "max_num_seqs": self.max_num_seqs,
            "overheads": asdict(self.overheads),
            "assumed": list(self.assumed),
            "recommendation": asdict(self.recommendation) if self.recommendation else None,
        }


def footprint_of(facts: CheckpointFacts, demand: Demand, calibration: Calibration) -> Footprint:
    """The model's bytes on a GPU under the demand."""
    measured = calibration.activation_bytes
    computed = activation_bytes(
        facts.hidden_size,
        facts.intermediate_size,
        facts.vocab_size,
        demand.max_num_batched_tokens,
        demand.max_num_seqs,
    )
    return Footprint(
        name=facts.name,
        weights_bytes=facts.weights_bytes,
        kv_layers=tuple(KvLayers(*kind) for kind in facts.kv_layers),
        activation_bytes=(computed if measured is None else measured) + facts.beside_bytes,
        active_weights_bytes=facts.active_weights_bytes,
        parameters=facts.parameters,
        expert_fraction=facts.expert_fraction,
    )


def make_plan(
    facts: CheckpointFacts, gpu: Gpu, gpus: int, demand: Demand, calibration: Calibration
) -> Plan:
    """The plan for `gpus` equal GPUs; `DoesNotFit` if one replica, or the k asked for, do not."""
    if demand.max_model_len > facts.max_context_tokens:
        raise ConfigError(
            f"--max-model-len {demand.max_model_len} is more than the {facts.max_context_tokens} "
            f"tokens that {facts.name} was made for"
        )
    footprint = footprint_of(facts, demand, calibration)
    overheads = calibration.overheads()
    packed = pack(footprint, gpu.memory_bytes, overheads, demand)
    measured = set(calibration.model_dump(exclude_none=True))
    return Plan(
        facts=facts,
        gpu=gpu,
        gpus=gpus,
        demand=demand,
        overheads=overheads,
        assumed=tuple(name for name in Calibration.model_fields if name not in measured),
        packed=packed,
        max_num_seqs=min(demand.max_num_seqs, max(1, int(packed.max_concurrency))),
        recommendation=_recommend(footprint, gpu, packed, overheads, demand),
    )


def _recommend(
    footprint: Footprint, gpu: Gpu, packed: GpuPlan, overheads: Overheads, demand: Demand
) -> Recommendation | None:
    """None for a GPU of which only the size is known."""
    if not gpu.bandwidth_gb_per_s or not footprint.parameters:
        return None
    alone = pack(footprint, gpu.memory_bytes, overheads, replace(demand, replicas_per_gpu=1))
    return recommend(
        throughput(footprint, gpu, packed, overheads, demand),
        throughput(footprint, gpu, alone, overheads, demand),
    )

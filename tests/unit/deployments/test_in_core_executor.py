"""One worker on a CPU runs inside the EngineCore; everything else keeps vLLM's own choice."""

import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def executor() -> Any:
    """The module; it brings vLLM, whose import takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deployments.vllm import in_core_executor

        return in_core_executor


@pytest.mark.parametrize(
    ("cpu", "options", "chosen"),
    [
        (True, {}, True),
        (True, {"tensor-parallel-size": 1, "max-num-seqs": 4}, True),
        (True, {"tensor-parallel-size": 2}, False),
        (True, {"pipeline-parallel-size": 2}, False),
        (True, {"data-parallel-size": 2}, False),
        (False, {}, False),
    ],
)
def test_it_is_chosen_for_one_worker_on_a_cpu(
    executor: Any, monkeypatch: pytest.MonkeyPatch, cpu: bool, options: Any, chosen: bool
) -> None:
    monkeypatch.setattr(executor.current_platform, "is_cpu", lambda: cpu)
    assert executor.backend(options) == (executor.IN_CORE if chosen else None)


def test_its_name_leads_to_it(executor: Any) -> None:
    from vllm.utils.import_utils import resolve_obj_by_qualname
    from vllm.v1.executor import Executor

    found = resolve_obj_by_qualname(executor.IN_CORE)
    assert found is executor.InCoreExecutor
    assert issubclass(found, Executor)


def test_vllm_still_replaces_only_its_own_name(executor: Any) -> None:
    # Where this goes, the executor may no longer be needed, or no longer be left alone.
    import vllm.platforms.cpu

    source = Path(str(vllm.platforms.cpu.__file__)).read_text(encoding="utf-8")
    assert source.count("distributed_executor_backend") == 2
    assert 'distributed_executor_backend == "uni"' in source


@pytest.mark.parametrize(
    ("bind", "backend", "threads"),
    [("0-1", "ours", "2"), ("0", "ours", "1"), ("nobind", "ours", None), ("0-1", "mp", None)],
)
def test_the_engine_core_gets_what_a_worker_would(
    executor: Any,
    monkeypatch: pytest.MonkeyPatch,
    bind: str,
    backend: str,
    threads: str | None,
) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", bind)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    chosen = executor.IN_CORE if backend == "ours" else backend
    parallel = SimpleNamespace(
        distributed_executor_backend=chosen,
        local_world_size=1,
        data_parallel_rank_local=None,
        _api_process_count=1,
    )
    config = SimpleNamespace(parallel_config=parallel, kv_transfer_config=None)
    with executor.openmp_environment(config):
        assert os.environ.get("OMP_NUM_THREADS") == threads
    assert "OMP_NUM_THREADS" not in os.environ

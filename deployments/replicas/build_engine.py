"""The engine that a tier's config names, and what it wants of the environment."""

from pathlib import Path

from deployments.protocol.engine import Engine
from deployments.settings.app import TierConfig
from deployments.settings.config_mistake import ConfigError
from deployments.settings.environment import audit_key, secret, set_defaults
from deployments.settings.privacy import PrivacyConfig
from deployments.settings.simulated import SimulatedEngineConfig
from deployments.settings.targets import TargetsConfig
from deployments.settings.upstream import UpstreamConfig
from deployments.settings.vllm import VllmConfig
from deployments.simulated.engine import SimulatedEngine


def build_engine(config: TierConfig, privacy: PrivacyConfig | None) -> Engine:
    """The engine that a tier's config names.

    Raises: `ConfigError` for one that asks upstreams without a policy of what may leave.
    """
    engine = config.engine
    if isinstance(engine, VllmConfig):
        set_defaults(vllm_environment(engine))
        # Imported here: it reads the environment, and a head node may be without vLLM.
        from deployments.vllm.engine import VllmEngine

        return VllmEngine(engine, config.model)
    if isinstance(engine, SimulatedEngineConfig):
        return SimulatedEngine(engine, config.model)
    if privacy is None:
        raise ConfigError(f"{config.model}: an engine that asks upstreams needs a privacy policy")
    return _remote_engine(engine, config, privacy)


def _remote_engine(
    engine: UpstreamConfig | TargetsConfig, config: TierConfig, privacy: PrivacyConfig
) -> Engine:
    # Imported here: where no tier is outside, not even the code of the door is there.
    from deployments.egress.audit import AuditLog
    from deployments.upstream.engine import UpstreamEngine
    from deployments.upstream.targets import TargetsEngine

    audit = None
    if privacy.audit_dir is not None:
        audit = AuditLog(Path(privacy.audit_dir), audit_key(privacy.audit_key_env))

    def one(upstream: UpstreamConfig) -> UpstreamEngine:
        return UpstreamEngine(upstream, secret(upstream.api_key_env), privacy, audit)

    if isinstance(engine, TargetsConfig):
        return TargetsEngine(engine, config.capabilities, one)
    return one(engine)


def vllm_environment(config: VllmConfig) -> dict[str, str]:
    """What vLLM reads from the environment, for its own processes too."""
    variables = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        # An allowed host could send the engine on to one that is not.
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_OMP_THREADS_BIND": config.cpu_threads or "nobind",
    }
    if config.enforce_eager:
        # vLLM compiles its logprobs kernel even so; the first request that asks for them then
        # stalls the engine for 20 s.
        variables["TORCH_COMPILE_DISABLE"] = "1"
    return variables

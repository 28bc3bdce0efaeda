"""What Ray reads from the environment of every process that takes part, this one included.

Ray reads it when it is imported, so this module must not import Ray, and who uses it sets it first.
"""

import tempfile
from pathlib import Path

from deployments.settings.environment import user_id

RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's 5 s are too short for HAProxy on a busy machine: the proxy is killed before it is up.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    # Ray's 15 would put every engine behind whatever else runs on its machine.
    "RAY_worker_niceness": "0",
    # Fill a GPU before the next is held (docs/decisions/0006-pack-replicas-with-serve.md).
    "RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY": "1",
    # Between deployments a streamed item costs a third of what it does as an actor call's, and no
    # hop between threads: nothing here blocks its event loop
    # (docs/decisions/0005-merge-tokens-by-asking-less-often.md). Handles are made with the first of
    # these in the process that deploys.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    # With Ray's 10 s a burst is over before the policy sees it.
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
# A gateway that dies before its first byte has answered nobody: another is asked
# (docs/decisions/0086-haproxy-asks-another-gateway.md). HAProxy can only where it has the whole
# request when it begins to send it; Ray has no setting for that, but writes this value as it is.
HAPROXY_RETRIES = {
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response\n    option http-buffer-request",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",
}


def haproxy_environment(port: int) -> dict[str, str]:
    """Ray's switches for the fast path; its HAProxy files go to a folder of their own.

    HAProxy takes socket paths of up to 97 bytes, of which Ray's node id and file name use 68.
    """
    folder = Path(tempfile.gettempdir()) / f"sf-{user_id()}-{port}"
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "660",
        **HAPROXY_RETRIES,
    }

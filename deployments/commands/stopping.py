"""Ends a local cluster: lets open requests finish, then leaves no process of it behind.

Ray's own way out waits whether there is something to wait for or not (two seconds for each replica,
thirty for a proxy behind HAProxy, minutes where a signal has already reached its processes), and
cuts every answer first.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import ray
from ray import serve
from ray.exceptions import RayError
from rich.console import Console

from deployments.commands.stop_signals import ignore_stop_signals, leave_at_once
from deployments.settings.environment import CLUSTER_MARK

# How long open requests may take to finish, seconds.
DRAIN_S = 40.0
# How often they are counted, and how long the count may take: where Ray does not answer, nothing
# can be waited for.
COUNT_EVERY_S = 0.2
COUNT_WITHIN_S = 2.0
# How long the last bytes take from a gateway that is done to its clients, through the proxy.
LAST_BYTES_S = 0.3
# How long processes may take to leave that were asked to, and that were killed.
GENTLY_S = 2.0
KILLED_S = 1.0
SERVE_NAMESPACE = "serve"
APP_NAME = "smallfirst"
GATEWAYS = f"SERVE_REPLICA::{APP_NAME}#Gateway#"
console = Console(stderr=True, highlight=False)


def stop(mark: str) -> None:
    """End the cluster with this mark: at once where no request is open or on a second Ctrl-C."""
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    started = marked_processes(mark)
    with suppress(KeyboardInterrupt):
        _drain()
        # Beside the signals: a client that is told of its cluster's end does not end with it.
        leaving.start()
        _end(started | marked_processes(mark), psutil.Process.terminate, GENTLY_S)
    ignore_stop_signals()
    _end(started | marked_processes(mark), psutil.Process.kill, KILLED_S)
    if leaving.ident is not None:
        leaving.join(KILLED_S)
    if leaving.ident is None or leaving.is_alive():
        leave_at_once("Stopped.")


def _drain() -> None:
    """Wait until no request is open, while Serve takes no new ones."""
    still = open_requests()
    if not still:
        return
    console.print(f"{still} open: waiting up to {DRAIN_S:.0f} s; Ctrl-C again ends at once")
    # Not `serve.shutdown`, which kills the proxies, and with them every answer, before it drains.
    serve.delete(APP_NAME, _blocking=False)
    give_up_s = time.monotonic() + DRAIN_S
    while open_requests() != 0 and time.monotonic() < give_up_s:
        time.sleep(COUNT_EVERY_S)
    time.sleep(LAST_BYTES_S)


def open_requests() -> int | None:
    """Requests that the gateways are answering, 0 where they are gone; None where it takes too long
    to say."""
    counted: list[int] = []
    # In a thread: where a signal went to Ray's processes too, Ray waits for them for a minute.
    asking = threading.Thread(target=lambda: counted.append(_count()), daemon=True)
    asking.start()
    asking.join(COUNT_WITHIN_S)
    return counted[0] if counted else None


def _count() -> int:
    # Asking anything would start a cluster where none runs.
    if not ray.is_initialized():
        return 0
    try:
        replicas = [
            ray.get_actor(actor["name"], actor["namespace"])
            for actor in ray.util.list_named_actors(all_namespaces=True)
            if actor["namespace"] == SERVE_NAMESPACE and actor["name"].startswith(GATEWAYS)
        ]
        return sum(ray.get([one.get_num_ongoing_requests.remote() for one in replicas]))
    except (RayError, ValueError, RuntimeError):
        return 0


def marked_processes(mark: str) -> set[psutil.Process]:
    """Every process that was started, directly or not, by the cluster with this mark.

    By descent too: a process that renames itself may write its new name over its environment.
    """
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(CLUSTER_MARK) == mark:
                found |= {process, *process.children(recursive=True)}
    return found


def _end(
    processes: set[psutil.Process], how: Callable[[psutil.Process], None], within_s: float
) -> None:
    """Tell processes to leave, one way, and wait a moment until they have."""
    for process in processes:
        with suppress(psutil.Error):
            how(process)
    psutil.wait_procs(processes, timeout=within_s)

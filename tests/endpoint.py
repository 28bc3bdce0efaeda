"""A running endpoint for tests, as a user starts it; the drills of `bench.faults` have the same."""

from bench.faults.endpoint import Endpoint, free_port, running_endpoint, wait_until

__all__ = ["Endpoint", "free_port", "running_endpoint", "wait_until"]

"""Traces, rivals and a simulated fleet: what the same decisions would have cost and attained."""

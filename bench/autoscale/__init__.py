"""Benchmarks of the autoscaler; each prints what it measured and writes JSON beside itself."""

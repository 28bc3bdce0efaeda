"""The Serve application: everything a request passes through.

Read `gateway`, `route`, `classify`, `tier`, `vllm_engine`, `escalation`, then `app`, which wires
them and which nothing imports.
"""

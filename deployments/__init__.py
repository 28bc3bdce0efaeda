"""The Serve application: everything a request passes through.

Read `api`, `gateway`, `route`, `classify`, `tier_client`, `tier` and `engine`, in that order; then
`app`, which wires them and which nothing imports. `vllm_engine`, `upstream` and `simulated` are the
three engines; `commands` holds the verbs of the command line.
"""

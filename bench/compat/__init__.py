"""Do the clients that people have work here? Their own kits, each pinned, run against us.

`python -m bench.compat` writes `docs/compatibility.md`: the tables of fields (`.tables`), what
became of the kits (`.run`) and of vLLM's own tests (`.vllm_suite`), each also by itself.
"""

"""Do the clients that people have work here? Their own kits, each pinned, run against us.

`python -m bench.compat.tables` writes the tables of `docs/compatibility.md`, and
`python -m bench.compat.run` runs the kits, and writes what it found into the same page.
"""

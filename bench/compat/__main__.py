"""`python -m bench.compat`: everything of `docs/compatibility.md` that is found by running.

The tables of fields, the kits of clients, and vLLM's own tests: half an hour on two cores.
"""

import sys

from bench.compat import run, tables, vllm_suite


def main() -> int:
    """Write the page, and say by the exit code whether all passed."""
    tables.main()
    return run.main([]) | vllm_suite.main([])


if __name__ == "__main__":
    sys.exit(main())

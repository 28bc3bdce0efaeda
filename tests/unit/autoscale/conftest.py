"""Ray 2.60 warns at import about its own pydantic models; ours still treat warnings as errors."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray.serve  # noqa: F401 - only for its warnings

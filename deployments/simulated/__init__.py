"""An engine that answers by the clock, with faults on demand: in a tier (`engine`) or over HTTP
(`server`). Described in `docs/simulated-engine.md`."""

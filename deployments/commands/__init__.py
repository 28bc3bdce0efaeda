"""The verbs of the `smallfirst` command, one a module, and the local cluster that `serve` runs."""

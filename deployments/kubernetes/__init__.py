"""The manifests of `k8s/`: what goes into them, and every rule that they have to keep, as pure
functions of what kustomize renders. No cluster is asked; `commands/` does what I/O there is."""

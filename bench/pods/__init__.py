"""Rendered pods run as processes: what the operator, the kubelet and kube-proxy would do with a
RayService, on one machine, as root. Used by tests and by `bench.pods.head_kill`."""

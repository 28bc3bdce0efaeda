"""What a request holds that must not leave the cluster, and what follows; pure, no I/O."""

"""What runs in Serve replicas, and the gateway's side of it."""

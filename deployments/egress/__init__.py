"""The one way out of the cluster, and the record of what took it."""

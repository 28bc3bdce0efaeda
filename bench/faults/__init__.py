"""What a running endpoint loses while it is changed and broken: tables for docs/faults.md."""

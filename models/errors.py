"""What can be wrong with a checkpoint: one line for the user, no traceback."""


class CheckpointError(ValueError):
    """A model folder or file that cannot be used; the message names it and the mend."""

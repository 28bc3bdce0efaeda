"""What an operator writes: the config, the environment, the serve file."""

"""Act on one host: what a compute manager does at the source and at the destination of a move."""

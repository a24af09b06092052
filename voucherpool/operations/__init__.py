"""Operation: the worker, the integrity checks and the seeds."""

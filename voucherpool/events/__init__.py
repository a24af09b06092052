"""Events: what happened, in the order of its numbers, and who is told."""

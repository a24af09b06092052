"""The benchmarks; every figure that matters is a ratio of two that were measured in one run."""

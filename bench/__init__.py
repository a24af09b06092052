"""The benchmarks; the results that matter are ratios of two measurements in one run."""

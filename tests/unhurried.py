"""Settings of Hypothesis under which a busy machine fails no test."""

from hypothesis import HealthCheck, settings

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

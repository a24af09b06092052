"""Counting requests once a second."""

from prometheus_client import REGISTRY

from voucherpool.observability import counting, metrics


def redemptions():
    return REGISTRY.get_sample_value("voucherpool_redemptions_total")


def test_without_a_thread_that_counts_only_so_many_wait():
    counting.count_all()
    before = redemptions()
    for _ in range(counting.most_waiting):
        counting.later(metrics.redeemed.inc)
    assert redemptions() == before
    counting.later(metrics.redeemed.inc)
    assert redemptions() == before + counting.most_waiting + 1

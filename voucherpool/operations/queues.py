"""Measures how much work waits for a worker."""

from sqlalchemy import text

from voucherpool.database.model import db
from voucherpool.observability import metrics


def measure() -> None:
    """Set the gauges of the queues: how many wait, and for how many seconds the oldest does."""
    for queue in db.session.execute(waiting):
        metrics.queue_length.labels(queue.name).set(queue.length)
        metrics.queue_age.labels(queue.name).set(queue.seconds)


waiting = text("""
    SELECT name, count(since) AS length,
        coalesce(greatest(extract(epoch FROM now() - min(since)), 0), 0) AS seconds
    FROM (
        SELECT 'events', created_at FROM events
        UNION ALL SELECT 'deliveries', due_at FROM deliveries WHERE state = 'waiting'
        UNION ALL SELECT 'messages', due_at FROM messages WHERE state = 'waiting'
        UNION ALL SELECT state || '_batches', coalesce(started_at, created_at) FROM batches
            WHERE finished_at IS NULL
        UNION ALL SELECT 'changes', coalesce(started_at, created_at) FROM changes
            WHERE finished_at IS NULL
        UNION ALL SELECT unnest(ARRAY[
            'events', 'deliveries', 'messages', 'pending_batches', 'running_batches', 'changes'
        ]), NULL
    ) AS item (name, since)
    GROUP BY name""")

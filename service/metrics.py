"""What `/metrics` says: prometheus-client's own counters, one registry for each process."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from service.errors import StoreUnavailable
from service.store import Store
from service.store.queue import Waiting, waiting

ACK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 3, 10)
QUEUE_AGE_SECONDS = 1.0  # a scrape that comes sooner gets the last answer


class Metrics:
    """Counters of one process. Sources are configured names only, so labels stay few."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.received = Counter(
            "hooksift_deliveries_received_total",
            "Verified deliveries, by what became of them (accepted, duplicate, handshake).",
            ["source", "status"],
            registry=registry,
        )
        self.refused = Counter(
            "hooksift_deliveries_refused_total",
            "Deliveries not accepted, by reason.",
            ["source", "reason"],
            registry=registry,
        )
        self.ack_seconds = Histogram(
            "hooksift_ack_seconds",
            "From the request's headers to the answer, accepted deliveries.",
            ["source"],
            buckets=ACK_BUCKETS,
            registry=registry,
        )
        self.secret_matches = Counter(
            "hooksift_secret_matches_total",
            "Verified deliveries by the index of the secret that matched; tells when a rotation is"
            " over.",
            ["source", "secret"],
            registry=registry,
        )
        self.attempts = Counter(
            "hooksift_attempts_total",
            "Attempts to enrich an event, by outcome.",
            ["source", "outcome"],
            registry=registry,
        )
        self.enriched_seconds = Histogram(
            "hooksift_enriched_seconds",
            "From available work to the stored enrichment.",
            ["source"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
            registry=registry,
        )
        self.lost_leases = Counter(
            "hooksift_lost_leases_total",
            "Results that came after their lease had expired, and were not written.",
            registry=registry,
        )
        self.actions = Counter(
            "hooksift_actions_total",
            "Tries of write-backs and notifications, by outcome.",
            ["adapter", "outcome"],
            registry=registry,
        )
        self.landing_lag_seconds = Gauge(
            "hooksift_landing_lag_seconds",
            "How far the history is behind: age of the oldest fact that the last landing found, or"
            " time since landing last went well, where that is longer.",
            registry=registry,
        )
        self.landed = Counter(
            "hooksift_landed_rows_total",
            "Rows landed in the history.",
            ["table"],
            registry=registry,
        )


class SourceMetrics:
    """One source's counters with their labels looked up once."""

    def __init__(self, metrics: Metrics, source: str) -> None:
        statuses = ("accepted", "duplicate", "handshake")
        self._received = {s: metrics.received.labels(source, s) for s in statuses}
        self._matches = metrics.secret_matches
        self._matched: dict[int, Any] = {}
        self._source = source
        metrics.ack_seconds.labels(source)  # there from the start, as the counters are

    def received(self, status: str) -> None:
        """One more verified delivery."""
        self._received[status].inc()

    def secret_matched(self, index: int) -> None:
        """Which of several secrets still matches."""
        child = self._matched.get(index)
        if child is None:
            child = self._matches.labels(self._source, str(index)) if index >= 0 else None
            self._matched[index] = child
        if child is not None:
            child.inc()


class QueueCollector(Collector):
    """Queue depth and oldest age, asked of the store when somebody scrapes."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._asked_at = float("-inf")
        self._rows: list[Waiting] = []
        self._dead: list[tuple[str, str, int]] = []

    def collect(self) -> Iterable[Metric]:
        """The gauges; as last seen while the store is down."""
        now = datetime.now(UTC)
        if self._clock() - self._asked_at >= QUEUE_AGE_SECONDS:
            try:
                with self._store.read() as connection:
                    self._rows = waiting(connection, now)
                    self._dead = dead_counts(connection)
                self._asked_at = self._clock()
            except StoreUnavailable:
                self._asked_at = self._clock()
        depth = GaugeMetricFamily(
            "hooksift_queue_depth", "Work items that may be claimed.", labels=["kind", "source"]
        )
        age = GaugeMetricFamily(
            "hooksift_queue_oldest_age_seconds",
            "How long the oldest of them has waited.",
            labels=["kind", "source"],
        )
        for row in self._rows:
            depth.add_metric([row.kind, row.source], row.depth)
            if row.oldest_at:
                age.add_metric([row.kind, row.source], (now - row.oldest_at).total_seconds())
        dead = GaugeMetricFamily(
            "hooksift_dead_letters",
            "Work items that gave up and wait for a person.",
            labels=["kind", "source"],
        )
        for kind, source, count in self._dead:
            dead.add_metric([kind, source], count)
        return [depth, age, dead]


def dead_counts(connection: Connection) -> list[tuple[str, str, int]]:
    """How many dead letters there are of each kind and source."""
    statement = "SELECT kind, source, count(*) FROM dead_letters GROUP BY kind, source"
    rows = connection.exec_driver_sql(statement).all()
    return [(str(kind), str(source), int(count)) for kind, source, count in rows]

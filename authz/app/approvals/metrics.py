"""What happens at the approvals listener -> metrics. Their labels are words of this program only."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from authz.app.approvals.lapses import Lapse
from authz.model import ApprovalRecord, ApprovalStatus
from authz.state.approvals import Refusal

# Seconds: from an approver who waits for the message to the default timeout of a quarter of an hour, and beyond.
BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 4 * 3600.0, 24 * 3600.0)


class DeliveryMetrics:
    """What becomes of messages to the webhook."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._deliveries = Counter(
            "mcp_authz_approval_webhook_deliveries_total",
            "Messages to the webhook; retried ones count when they have ended.",
            ("outcome",),
            registry=registry,
        )

    def delivered(self, outcome: str) -> None:
        """A message to the webhook has ended: `delivered`, `rejected`, `failed` or `dropped`."""
        self._deliveries.labels(outcome).inc()


class ApprovalMetrics(DeliveryMetrics):
    """Counters of one process. Each replica counts the decisions that were made at its own listener.

    What waits and what has expired is of the whole store, the same at each replica that has the page.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._decided = Counter(
            "mcp_authz_approvals_decided_total",
            "Requests for approval that people decided here.",
            ("verdict",),
            registry=registry,
        )
        self._time = Histogram(
            "mcp_authz_approval_decision_seconds",
            "How long a request waited until people decided it here.",
            ("verdict",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._expired = Counter(
            "mcp_authz_approvals_expired_total",
            "Requests that nobody decided in time, and grants that no call used in time, in the whole store.",
            ("what",),
            registry=registry,
        )
        self._refused = Counter(
            "mcp_authz_approval_rulings_refused_total",
            "Decisions of people that were not taken.",
            ("cause",),
            registry=registry,
        )
        self._failures = Counter(
            "mcp_authz_approval_log_in_failures_total",
            "Attempts to get in that failed.",
            ("cause",),
            registry=registry,
        )
        self.pending = Gauge(
            "mcp_authz_approvals_pending", "Requests that wait for a decision, in the whole store.", registry=registry
        )
        self.oldest = Gauge(
            "mcp_authz_approvals_oldest_request_timestamp_seconds",
            "When the request that has waited longest was filed, in the whole store; NaN while none waits.",
            registry=registry,
        )
        self.oldest.set(math.nan)  # 0 would be a request of 1970
        for lapse in Lapse:
            self._expired.labels(lapse.value)
        for verdict in ("granted", "denied"):  # Prometheus sees no increase in a series that begins at 1
            self._decided.labels(verdict)
            self._time.labels(verdict)
        for refusal in Refusal:
            self._refused.labels(refusal.value)

    def ruled(self, record: ApprovalRecord) -> None:
        """A ruling was taken; counts where it decided the request."""
        if record.status is ApprovalStatus.PENDING:
            return  # somebody else must say yes, too
        verdict = "denied" if record.status is ApprovalStatus.DENIED else "granted"
        self._decided.labels(verdict).inc()
        self._time.labels(verdict).observe(max(0.0, record.rulings[-1].at - record.requested_at))

    def expired(self, lapse: Lapse) -> None:
        """Something in the store has had its time."""
        self._expired.labels(lapse.value).inc()

    def refused(self, cause: Refusal) -> None:
        """A ruling was not taken."""
        self._refused.labels(cause.value).inc()

    def shut_out(self, cause: str) -> None:
        """Somebody did not get in: `token`, `throttled`, `csrf` or a cause of `forgery`."""
        self._failures.labels(cause).inc()

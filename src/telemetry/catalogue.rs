//! Every metric by its name.

/// Every metric, with what it tells; the table in docs/reference/metrics.md is checked against it.
pub const METRICS: [(&str, &str); 22] = [
    ("stent_requests_total", "Requests by route and outcome"),
    ("stent_refused_total", "Requests refused before any route took them"),
    ("stent_request_seconds", "From a request to the end of its answer, by route and by where the answer came from"),
    ("stent_slow_requests_total", "Requests that took longer than log.slow, by route"),
    ("stent_purges_total", "Purges applied, those that follow writes included"),
    ("stent_entries", "Entries in the memory store"),
    ("stent_bytes", "Bytes in the memory store, heads and keys included"),
    ("stent_flights", "Fetches under way"),
    ("stent_waiting", "Requests that wait for a fetch, their own or another's"),
    ("stent_fill_bytes", "Bytes that answers take while they are being fetched"),
    ("stent_connections", "Client connections that are open"),
    (
        "stent_connections_shed_total",
        "Client connections that had sent nothing, had asked for nothing or were idle, and were closed to make room",
    ),
    (
        "stent_tls_handshakes_refused_total",
        "Connections that ended before a TLS session was agreed on, for what the client said",
    ),
    ("stent_accept_failures_total", "Failures to accept a connection for want of descriptors or memory"),
    ("stent_upstream_connections", "Connections to an upstream, by state"),
    ("stent_upstream_in_flight", "Requests in flight at an upstream"),
    ("stent_upstream_waiting", "Requests that wait for a connection to an upstream"),
    (
        "stent_upstream_made_room_total",
        "Connections to an upstream that were taken from clients who were too slow, since others waited",
    ),
    ("stent_upstream_seconds", "From sending a request to the head of the answer, by upstream"),
    ("stent_upstream_failures_total", "Attempts that brought no answer, by upstream and reason"),
    ("stent_log_dropped_total", "Lines that the access log could not take in time"),
    ("stent_notices_dropped_total", "Lines that standard error could not take, since its reader is gone or hangs"),
];

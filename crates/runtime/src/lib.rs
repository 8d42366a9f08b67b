//! What every controller shares: flags, logs, metrics, health endpoints, conditions, events, client pool, backoff.

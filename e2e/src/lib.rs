//! Cluster harness, scenarios, demo and benchmarks.

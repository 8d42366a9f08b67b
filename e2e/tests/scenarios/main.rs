//! Promises of the project, each shown on a real API server with the two controllers as they ship.
//!
//! One program, so that all tests share one control plane and one pair of controllers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod apply;
mod artifact_token;
mod backoff;
mod basics;
mod churn;
mod clock;
mod configs;
mod correction;
mod crash;
mod deletion;
mod dependencies;
mod diagnostics;
mod drift;
mod events;
mod example;
mod external_artifact;
mod faults_admission;
mod faults_api;
mod faults_events;
mod flow;
mod flux_cli;
mod flux_verbs;
mod handover;
mod harness;
mod health_exprs;
mod ignore;
mod include;
mod invariants;
mod isolation;
mod isolation_sources;
mod kill_points;
mod kustomization;
mod kustomization_faults;
mod lease;
mod missing;
mod monorepo;
mod oci_repository;
mod outage;
mod preflight;
mod provider;
mod prune;
mod remote_bases;
mod rights;
mod sharing;
mod source;
mod source_faults;
mod sparse;
mod ssh;
mod start;
mod storage_faults;
mod submodules;
mod verify;
mod waiting;

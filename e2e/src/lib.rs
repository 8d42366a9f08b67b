//! Cluster harness, scenarios, demo and benchmarks.
//!
//! Everything here is real: a Kubernetes control plane built from its Go modules, `git http-backend`
//! behind a small HTTP bridge, and the two controllers as the processes that ship. Only loopback is
//! used, on free ports.
//!
//! - the crate `toolchain` builds the Kubernetes programs and others once per version into a per-user cache;
//! - [`process`] starts programs so that none outlives its owner;
//! - [`cluster`] is a control plane, [`node`] adds what runs Pods,
//!   [`git_server`] and [`repository`] a Git host;
//! - [`forge`] is a Git forge, with accounts, tokens, deploy keys and an API;
//! - [`registry`] is an OCI registry, [`sshd`] an SSH server, [`silent_server`] one that never answers, [`proxy`] an HTTP or SOCKS5 proxy;
//! - [`artifact`] reads what the controllers serve;
//! - [`audit`] tells what the controllers asked the API server;
//! - [`api_proxy`] stands in front of the API server and misbehaves;
//! - [`webhook`] answers the API server's admission reviews;
//! - [`cosign`] signs what is in a registry;
//! - [`sops`] encrypts what is decrypted in a Kustomization;
//! - [`confinement`] gives a process the limits of a container;
//! - [`moved_clock`] is a wall clock that a test moves, [`failing_writes`] a storage that refuses them;
//! - [`controller`] runs `source-controller` and `kustomize-controller`;
//! - [`wait`] waits for what is seen, [`idle`] until controllers have nothing to do;
//! - [`objects`] reads and writes Kubernetes objects as plain JSON, as any other client would;
//! - [`example`] is what users start from, [`document`] runs the commands of documents, [`flux`] is Flux's client;
//! - [`scenario`] puts these together for one test, in a namespace of its own;
//! - [`testkit`] has the manifests and steps that scenarios share.

pub mod api_proxy;
pub mod artifact;
pub mod audit;
pub mod azure_server;
pub mod cluster;
pub mod confinement;
pub mod controller;
pub mod cosign;
pub mod document;
pub mod example;
pub mod failing_writes;
pub mod file_server;
pub mod flux;
pub mod forge;
pub mod gcs_server;
pub mod git_server;
pub mod helm;
mod http_server;
pub mod idle;
pub mod moved_clock;
pub mod node;
pub mod notation;
pub mod object_store;
pub mod objects;
pub mod pki;
mod preload;
pub mod process;
pub mod proxy;
pub mod real_stores;
pub mod registry;
pub mod repository;
pub mod s3_server;
pub mod scenario;
pub mod signer;
pub mod sigstore;
pub mod silent_server;
pub mod sops;
pub mod sshd;
pub mod testkit;
pub mod token_server;
pub mod tuf;
pub mod wait;
pub mod webhook;

use std::path::{Path, PathBuf};

/// Chooses the TLS implementation of this process. Harmless when called again.
pub fn init_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

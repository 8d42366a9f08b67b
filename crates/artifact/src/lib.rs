//! Artifacts: deterministic tarballs, ignore rules, digests, the store, its file server, and the consumer side.

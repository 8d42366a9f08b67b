//! The kustomize-controller process.

fn main() {}

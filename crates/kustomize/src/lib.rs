//! The kustomize build engine: a file tree in, ordered resources out.

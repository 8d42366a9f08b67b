//! Container images without a container engine: an image is a static binary, the authorities that it trusts, and a little JSON.
//!
//! - [`archive`]: the [OCI image layout](https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md) as a tar file, which
//!   `docker load`, `podman load`, `ctr images import` and `skopeo copy oci-archive:` read.
//! - [`authorities`]: the certificate authorities of the Mozilla root program.
//! - [`components`]: what a binary is made of, as CycloneDX.
//! - [`labels`]: the names and descriptions of images.
//! - [`platform`]: the machines that images are for.
//! - [`provenance`]: from what and how it was made, as SLSA.
//!
//! The same inputs give the same bytes: names are sorted, times are that of the commit, and nobody's user, group or paths are in it.

pub mod archive;
pub mod authorities;
pub mod components;
pub mod labels;
pub mod platform;
pub mod provenance;

use sha2::{Digest, Sha256};

/// The SHA-256 of some bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

//! A mirror of trusted roots, as Sigstore has one (The Update Framework, TUF): files of a folder, signed by one key.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sigstore_tuf::canonical_json::to_canonical_bytes;
use tempfile::TempDir;

/// A time that has not come.
pub const FUTURE: &str = "2100-01-01T00:00:00Z";

/// What a mirror has.
#[derive(Debug)]
pub struct Mirror {
    folder: TempDir,
    key: KeyPair,
}

impl Mirror {
    /// Nothing.
    pub fn new() -> Mirror {
        Mirror { folder: crate::process::temp_folder("tuf").unwrap(), key: KeyPair::generate().unwrap() }
    }

    /// What is to be served.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The file that says by whom the content is signed.
    pub fn initial(&self) -> String {
        self.path("initial.json")
    }

    /// Publishes a trusted root.
    pub fn publish(&self, version: u64, expires: &str, trusted_root: &[u8]) {
        let write = |name: &str, bytes: &[u8]| fs::write(self.path(name), bytes).unwrap();
        let hash = hex(&Sha256::digest(trusted_root));
        let target = json!({"length": trusted_root.len(), "hashes": {"sha256": hash}});
        let targets = json!({"targets": {"trusted_root.json": target}});
        let meta = |name: &str| json!({"meta": {name: {"version": version}}});
        write("targets.json", &self.signed("targets", version, expires, &targets));
        write("snapshot.json", &self.signed("snapshot", version, expires, &meta("targets.json")));
        write("timestamp.json", &self.signed("timestamp", version, expires, &meta("snapshot.json")));
        fs::create_dir_all(self.path("targets")).unwrap();
        write("targets/trusted_root.json", trusted_root);
        let key = json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256",
            "keyval": {"public": self.key.public_key_pem()}});
        let role = || json!({"keyids": ["k"], "threshold": 1});
        let roles = json!({"root": role(), "timestamp": role(), "snapshot": role(), "targets": role()});
        let root = json!({"consistent_snapshot": false, "keys": {"k": key}, "roles": roles});
        write("initial.json", &self.signed("root", 1, FUTURE, &root));
    }

    /// A description of one kind.
    fn signed(&self, kind: &str, version: u64, expires: &str, more: &Value) -> Vec<u8> {
        let mut signed =
            json!({"_type": kind, "spec_version": "1.0.0", "version": version, "expires": expires});
        signed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let signature = self.key.sign(&to_canonical_bytes(&signed).unwrap()).unwrap();
        json!({"signed": signed, "signatures": [{"keyid": "k", "sig": hex(&signature)}]})
            .to_string()
            .into_bytes()
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Mirror::new()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

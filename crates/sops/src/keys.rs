//! Master keys, and who can use them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// The key that the values of a document are encrypted with.
#[derive(Clone)]
pub struct DataKey(KeyBytes);

impl DataKey {
    /// A key of these bytes; the cipher takes 32.
    pub fn new(bytes: KeyBytes) -> Self {
        DataKey(bytes)
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A data key, or a share of one, as a master key has unwrapped it. Wiped when it is dropped; `Debug` shows nothing.
#[derive(Clone)]
pub struct KeyBytes(Zeroizing<Vec<u8>>);

impl KeyBytes {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        KeyBytes(bytes.into())
    }

    /// The bytes themselves; keep the borrow short and never format it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A key that has encrypted (wrapped) the data key of a document, as its metadata describe it.
///
/// `wrapped` is the result, in the encoding of its kind: armored for age and OpenPGP, base64 for AWS and Google, base64 without
/// padding for Azure, `vault:v1:…` for Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MasterKey {
    /// A recipient of age: `age1…`, or an SSH key.
    Age { recipient: String, wrapped: String },
    /// An OpenPGP key by its fingerprint.
    Pgp { fingerprint: String, wrapped: String },
    /// A key of AWS KMS. `role` is assumed first; `context` is what the key was authenticated with.
    AwsKms { arn: String, role: String, context: BTreeMap<String, String>, profile: String, wrapped: String },
    /// A key of Google Cloud KMS, `projects/…/cryptoKeys/…`.
    GcpKms { resource_id: String, wrapped: String },
    /// A key of Azure Key Vault.
    AzureKeyVault { vault_url: String, name: String, version: String, wrapped: String },
    /// A key of the transit engine of Vault or OpenBao.
    Vault { address: String, engine_path: String, key_name: String, wrapped: String },
    /// A key of Huawei Cloud KMS, `region:id`.
    HuaweiKms { key_id: String, wrapped: String },
}

/// The kinds of master keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum KeyType {
    Age,
    Pgp,
    AwsKms,
    GcpKms,
    AzureKeyVault,
    Vault,
    HuaweiKms,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyType::Age => "age",
            KeyType::Pgp => "OpenPGP",
            KeyType::AwsKms => "AWS KMS",
            KeyType::GcpKms => "Google Cloud KMS",
            KeyType::AzureKeyVault => "Azure Key Vault",
            KeyType::Vault => "Vault",
            KeyType::HuaweiKms => "Huawei Cloud KMS",
        })
    }
}

impl MasterKey {
    /// The kind of the key.
    pub fn key_type(&self) -> KeyType {
        match self {
            MasterKey::Age { .. } => KeyType::Age,
            MasterKey::Pgp { .. } => KeyType::Pgp,
            MasterKey::AwsKms { .. } => KeyType::AwsKms,
            MasterKey::GcpKms { .. } => KeyType::GcpKms,
            MasterKey::AzureKeyVault { .. } => KeyType::AzureKeyVault,
            MasterKey::Vault { .. } => KeyType::Vault,
            MasterKey::HuaweiKms { .. } => KeyType::HuaweiKms,
        }
    }

    /// What SOPS calls the key in its messages. Nothing of it is secret.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            MasterKey::Age { recipient, .. } => recipient.into(),
            MasterKey::Pgp { fingerprint, .. } => fingerprint.into(),
            MasterKey::AwsKms { arn, role, .. } if role.is_empty() => arn.into(),
            MasterKey::AwsKms { arn, role, .. } => format!("{arn}+{role}").into(),
            MasterKey::GcpKms { resource_id, .. } => resource_id.into(),
            MasterKey::AzureKeyVault { vault_url, name, version, .. } => {
                format!("{vault_url}/keys/{name}/{version}").into()
            }
            MasterKey::Vault { address, engine_path, key_name, .. } => {
                format!("{address}/v1/{engine_path}/keys/{key_name}").into()
            }
            MasterKey::HuaweiKms { key_id, .. } => key_id.into(),
        }
    }

    /// The data key, or the share of it, that this key has encrypted.
    pub fn wrapped(&self) -> &str {
        match self {
            MasterKey::Age { wrapped, .. }
            | MasterKey::Pgp { wrapped, .. }
            | MasterKey::AwsKms { wrapped, .. }
            | MasterKey::GcpKms { wrapped, .. }
            | MasterKey::AzureKeyVault { wrapped, .. }
            | MasterKey::Vault { wrapped, .. }
            | MasterKey::HuaweiKms { wrapped, .. } => wrapped,
        }
    }

    /// The place in the order in which SOPS tries the keys of a group.
    pub(crate) fn rank(&self) -> usize {
        match self {
            MasterKey::Age { .. } => 0,
            MasterKey::Pgp { .. } => 1,
            _ => 2,
        }
    }
}

/// Who can unwrap data keys.
///
/// Called on a thread that may block, since the keys of clouds are asked over the network. It bears its own deadline: of a document
/// with many keys each is tried until one fits.
pub trait KeyService {
    /// The data key, or the share of it, that `key` has wrapped.
    ///
    /// # Errors
    /// The key is not at hand, or does not fit. The text is shown to users beside [`MasterKey::name`].
    fn unwrap(&self, key: &MasterKey) -> Result<KeyBytes, KeyError>;
}

/// Why a master key cannot unwrap a data key. Its text is shown to users: it must hold nothing secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl KeyError {
    /// Wraps an error, or a text.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        KeyError(error.into())
    }
}

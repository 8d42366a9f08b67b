//! What a document says about itself: under `sops`, or in names that begin with `sops_`.

mod fields;
mod flat;

use crate::keys::MasterKey;
use crate::limits::{LimitError, Limits};
use crate::rule::{DEFAULT_UNENCRYPTED_SUFFIX, Pattern, Rule};
use crate::timestamp;
use crate::tree::{Branch, Item, Value};
use fields::Fields;

pub(crate) use flat::unflatten;

/// Where the metadata stand.
pub(crate) const KEY: &str = "sops";

/// Keys that have each encrypted the same: the data key, or one share of it.
pub type KeyGroup = Vec<MasterKey>;

/// The metadata of a document.
#[derive(Debug, Clone)]
pub struct Metadata {
    groups: Vec<KeyGroup>,
    shamir_threshold: usize,
    rule: Rule,
    mac: String,
    mac_only_encrypted: bool,
    last_modified: String,
    version: String,
}

/// Why metadata cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// There are none: the document is not encrypted.
    #[error("sops metadata not found")]
    NotFound,
    /// There are two.
    #[error("Found duplicate sops entry")]
    Duplicate,
    /// They are no mapping.
    #[error("Found sops entry that is not a mapping")]
    NotMapping,
    /// A field is of another type.
    #[error("sops metadata: '{field}' is not {expected}")]
    Field {
        /// The field.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The names of flat metadata contradict each other.
    #[error("sops metadata: cannot unflatten '{field}': {problem}")]
    Unflatten {
        /// The name.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nobody can decrypt the document.
    #[error("No keys found in file")]
    NoKeys,
    /// There are two rules.
    #[error(
        "Cannot use more than one of encrypted_suffix, unencrypted_suffix, encrypted_regex, unencrypted_regex, \
         encrypted_comment_regex, or unencrypted_comment_regex in the same file"
    )]
    Rules,
    /// The rule is no regular expression.
    #[error("sops metadata: '{field}' is not a regular expression: {problem}")]
    Regex {
        /// The field.
        field: &'static str,
        /// Why not.
        problem: String,
    },
    /// There are too many keys.
    #[error("sops metadata: more than {0} keys: name fewer of them in .sops.yaml and run sops updatekeys")]
    Keys(usize),
    /// A wrapped key is too large.
    #[error("sops metadata: {0}")]
    Limit(#[from] LimitError),
}

impl Metadata {
    /// The groups of master keys. With one group, each of its keys has wrapped the data key; with several, a share of it.
    pub fn groups(&self) -> &[KeyGroup] {
        &self.groups
    }

    /// How many groups must succeed, where there are several.
    pub fn shamir_threshold(&self) -> usize {
        self.shamir_threshold
    }

    /// Whether the MAC is one of encrypted values alone.
    pub fn mac_only_encrypted(&self) -> bool {
        self.mac_only_encrypted
    }

    /// When the document was last encrypted, in RFC 3339 to the second.
    pub fn last_modified(&self) -> &str {
        &self.last_modified
    }

    /// The version of SOPS that has encrypted the document; empty if it is not told.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }

    pub(crate) fn mac(&self) -> &str {
        &self.mac
    }

    /// Reads the fields of the metadata.
    pub(crate) fn of(branch: &Branch, limits: &Limits) -> Result<Self, MetadataError> {
        let fields = Fields(branch);
        let last_modified = fields.text("lastmodified")?;
        let last_modified = timestamp::to_seconds(&last_modified).ok_or_else(|| MetadataError::Field {
            field: "lastmodified".into(),
            expected: "a time in RFC 3339",
        })?;
        Ok(Metadata {
            groups: groups(&fields, limits)?,
            shamir_threshold: fields.count("shamir_threshold")?,
            rule: rule(&fields)?,
            mac: fields.text("mac")?,
            mac_only_encrypted: fields.boolean("mac_only_encrypted")?,
            last_modified,
            version: fields.text("version")?,
        })
    }
}

/// Takes the metadata out of the documents of a stream: those of the first count, those of others are dropped.
pub(crate) fn take(branches: &mut [Branch]) -> Result<Branch, MetadataError> {
    let mut found = None;
    for (number, branch) in branches.iter_mut().enumerate() {
        for entry in branch.extract_if(.., |item| matches!(item, Item::Entry(key, _) if key == KEY)) {
            if number > 0 {
                continue;
            }
            let Item::Entry(_, Value::Map(metadata)) = entry else { return Err(MetadataError::NotMapping) };
            if found.replace(metadata).is_some() {
                return Err(MetadataError::Duplicate);
            }
        }
    }
    found.ok_or(MetadataError::NotFound)
}

fn rule(fields: &Fields<'_>) -> Result<Rule, MetadataError> {
    let mut rule = None;
    let mut set = |field: &'static str, make: fn(&'static str, String) -> Result<Rule, MetadataError>| {
        let text = fields.text(field)?;
        if !text.is_empty() && rule.replace(make(field, text)?).is_some() {
            return Err(MetadataError::Rules);
        }
        Ok(())
    };
    set("unencrypted_suffix", |_, text| Ok(Rule::UnencryptedSuffix(text)))?;
    set("encrypted_suffix", |_, text| Ok(Rule::EncryptedSuffix(text)))?;
    set("unencrypted_regex", |field, text| regex_rule(field, text, Rule::UnencryptedRegex))?;
    set("encrypted_regex", |field, text| regex_rule(field, text, Rule::EncryptedRegex))?;
    set("unencrypted_comment_regex", |field, text| regex_rule(field, text, Rule::UnencryptedCommentRegex))?;
    set("encrypted_comment_regex", |field, text| regex_rule(field, text, Rule::EncryptedCommentRegex))?;
    Ok(rule.unwrap_or_else(|| Rule::UnencryptedSuffix(DEFAULT_UNENCRYPTED_SUFFIX.into())))
}

fn regex_rule(field: &'static str, text: String, rule: fn(Pattern) -> Rule) -> Result<Rule, MetadataError> {
    Pattern::new(&text).map(rule).map_err(|problem| MetadataError::Regex { field, problem })
}

/// Keys beside the other fields are the only group; else there are `key_groups`.
fn groups(fields: &Fields<'_>, limits: &Limits) -> Result<Vec<KeyGroup>, MetadataError> {
    let mut keys = 0;
    let single = group(fields, limits, &mut keys)?;
    let groups = if single.is_empty() {
        let groups = fields.list("key_groups")?;
        groups.into_iter().map(|fields| group(&fields, limits, &mut keys)).collect::<Result<_, _>>()?
    } else {
        vec![single]
    };
    if groups.is_empty() { Err(MetadataError::NoKeys) } else { Ok(groups) }
}

/// The keys of a group, in the order in which SOPS reads them.
fn group(fields: &Fields<'_>, limits: &Limits, keys: &mut usize) -> Result<KeyGroup, MetadataError> {
    let mut group = Vec::new();
    for (kind, make) in KINDS {
        for key in fields.list(kind)? {
            *keys += 1;
            if *keys > limits.keys {
                return Err(MetadataError::Keys(limits.keys));
            }
            let wrapped = key.text("enc")?;
            Limits::check("bytes of an encrypted data key", wrapped.len(), limits.wrapped_key_bytes)?;
            group.push(make(&key, wrapped)?);
        }
    }
    Ok(group)
}

type MakeKey = fn(&Fields<'_>, String) -> Result<MasterKey, MetadataError>;

const KINDS: [(&str, MakeKey); 7] = [
    ("kms", |key, wrapped| {
        Ok(MasterKey::AwsKms {
            arn: key.text("arn")?,
            role: key.text("role")?,
            context: key.texts("context")?,
            profile: key.text("aws_profile")?,
            wrapped,
        })
    }),
    ("gcp_kms", |key, wrapped| Ok(MasterKey::GcpKms { resource_id: key.text("resource_id")?, wrapped })),
    ("hckms", |key, wrapped| Ok(MasterKey::HuaweiKms { key_id: key.text("key_id")?, wrapped })),
    ("azure_kv", |key, wrapped| {
        Ok(MasterKey::AzureKeyVault {
            vault_url: key.text("vault_url")?,
            name: key.text("name")?,
            version: key.text("version")?,
            wrapped,
        })
    }),
    ("hc_vault", |key, wrapped| {
        Ok(MasterKey::Vault {
            address: key.text("vault_address")?,
            engine_path: key.text("engine_path")?,
            key_name: key.text("key_name")?,
            wrapped,
        })
    }),
    ("pgp", |key, wrapped| Ok(MasterKey::Pgp { fingerprint: key.text("fp")?, wrapped })),
    ("age", |key, wrapped| Ok(MasterKey::Age { recipient: key.text("recipient")?, wrapped })),
];

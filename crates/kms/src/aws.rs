//! AWS KMS: a request that is signed with the credentials of whoever decrypts, or of the role that a key names.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use auth::HttpError;
use auth::aws::{AwsError, Credentials, RegionError, Signer, assume_other_role, endpoint, is_role};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;
use serde::Deserialize;
use serde_json::json;

use crate::fields::Fields;
use crate::{DataKey, FieldsError, KeyServices};

const SERVICE: &str = "kms";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: &str = "TrentService.Decrypt";
/// What a session name of STS may have, characters.
const SESSION_NAME_CHARS: usize = 64;
/// Keys of a Secret are taken for good as long as nobody asks.
const STATIC_LIFETIME: Duration = Duration::from_secs(3600);

/// A wrapped key, as a document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key or alias that wrapped it.
    pub arn: String,
    /// A role that may use it.
    pub role: Option<String>,
    /// What was bound to it.
    pub context: BTreeMap<String, String>,
    /// The wrapped key, in base64.
    pub encrypted: String,
}

/// Why a key is not unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum AwsKmsError {
    /// Not the ARN of a key.
    #[error("no valid ARN found in '{0}'")]
    Arn(String),
    /// Not the ARN of a role.
    #[error("no valid role ARN found in '{0}'")]
    Role(String),
    /// The wrapped key is none.
    #[error("error base64-decoding encrypted data key")]
    Encoding,
    /// A Secret without keys.
    #[error("static credentials are empty")]
    NoKeys,
    /// The service of that region cannot be asked.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The role is not given.
    #[error(transparent)]
    AssumeRole(AwsError),
    /// The service refuses.
    #[error("failed to decrypt sops data key with AWS KMS: {0}")]
    Decrypt(#[source] HttpError),
}

/// Reads the credentials of a Secret.
///
/// # Errors
/// When they are no mapping.
pub fn credentials(text: &str) -> Result<Credentials, FieldsError> {
    let fields = Fields::parse(text)?;
    Ok(Credentials {
        access_key: fields.text("aws_access_key_id")?.unwrap_or_default(),
        secret_key: fields.secret("aws_secret_access_key")?.unwrap_or_default(),
        session_token: fields.secret("aws_session_token")?,
        expires: SystemTime::now() + STATIC_LIFETIME,
    })
}

impl Key {
    /// The region of the key: `arn:<partition>:kms:<region>:<account>:key/<id>` or `…:alias/<name>`.
    ///
    /// # Errors
    /// For what is not the ARN of a key.
    pub fn region(&self) -> Result<&str, AwsKmsError> {
        let mut parts = self.arn.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (arn, partition, service, region, account, resource) =
            (next(), next(), next(), next(), next(), next());
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = resource.strip_prefix("key/").or_else(|| resource.strip_prefix("alias/"));
        let valid = arn == "arn"
            && partition.strip_prefix("aws").is_some_and(|rest| rest.chars().all(word))
            && service == SERVICE
            && !region.is_empty()
            && !account.is_empty()
            && account.chars().all(|c| c.is_ascii_digit())
            && name.is_some_and(|name| !name.is_empty());
        if valid { Ok(region) } else { Err(AwsKmsError::Arn(self.arn.clone())) }
    }
}

impl KeyServices {
    /// Unwraps a key with these credentials, or with those of its role, which has to trust these.
    ///
    /// # Errors
    /// When the key or the service does not allow it.
    pub async fn aws_kms(&self, key: &Key, credentials: &Credentials) -> Result<DataKey, AwsKmsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            plaintext: Secret,
        }
        let region = key.region()?;
        let blob = STANDARD.decode(&key.encrypted).map_err(|_| AwsKmsError::Encoding)?;
        if credentials.access_key.is_empty() || credentials.secret_key.is_empty() {
            return Err(AwsKmsError::NoKeys);
        }
        let url = endpoint(SERVICE, region, &self.environment)?;
        let of_role = self.role(key, credentials, region).await?;
        let credentials = of_role.as_ref().unwrap_or(credentials);
        let mut body = json!({"KeyId": key.arn, "CiphertextBlob": STANDARD.encode(blob)});
        if let (false, Some(body)) = (key.context.is_empty(), body.as_object_mut()) {
            body.insert("EncryptionContext".to_owned(), json!(key.context));
        }
        let body = body.to_string();
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let signer = Signer { credentials, region, service: SERVICE };
        let signed = signer.headers("POST", &url, &headers, body.as_bytes(), SystemTime::now());
        let all = headers.into_iter().chain(signed.iter().map(|(name, value)| (*name, value.as_str())));
        let request = all.fold(self.clouds.post(url), |request, (name, value)| request.header(name, value));
        let answer = self.clouds.json::<Answer>(request.body(body)).await.map_err(AwsKmsError::Decrypt)?;
        let malformed = || AwsKmsError::Decrypt(HttpError::Malformed("Plaintext".to_owned()));
        DataKey::decode(&STANDARD, answer.plaintext.expose()).ok_or_else(malformed)
    }

    async fn role(
        &self,
        key: &Key,
        credentials: &Credentials,
        region: &str,
    ) -> Result<Option<Credentials>, AwsKmsError> {
        let Some(role) = key.role.as_deref().filter(|role| !role.is_empty()) else { return Ok(None) };
        if !is_role(role) {
            return Err(AwsKmsError::Role(role.to_owned()));
        }
        let session = session_name(self.environment.get("HOSTNAME").unwrap_or_default());
        let given = assume_other_role(role, &session, credentials, region, &self.environment, &self.clouds);
        given.await.map(Some).map_err(AwsKmsError::AssumeRole)
    }
}

/// The name of SOPS for its sessions: `sops@<host name>`, without what such names may not have.
fn session_name(host: &str) -> String {
    let valid = |c: &char| c.is_ascii_alphanumeric() || "=,.@-_".contains(*c);
    "sops@".chars().chain(host.chars().filter(valid)).take(SESSION_NAME_CHARS).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_that_of_the_arn() {
        let region = |arn: &str| {
            let key = Key { arn: arn.into(), role: None, context: BTreeMap::new(), encrypted: String::new() };
            key.region().map(str::to_owned).map_err(|error| error.to_string())
        };
        for (arn, expected) in [
            ("arn:aws:kms:us-west-2:107501996527:key/612d5f0p", "us-west-2"),
            ("arn:aws:kms:eu-central-1:1:alias/my/key", "eu-central-1"),
            ("arn:aws-cn:kms:cn-north-1:1:key/1", "cn-north-1"),
            ("arn:aws-us-gov:kms:us-gov-west-1:1:key/1", "us-gov-west-1"),
        ] {
            assert_eq!(region(arn).unwrap(), expected);
        }
        for arn in [
            "",
            "arn:aws:kms:us-west-2:1:key/",
            "arn:aws:kms::1:key/1",
            "arn:aws:kms:us-west-2:x:key/1",
            "arn:aws:s3:us-west-2:1:key/1",
            "arn:evil:kms:us-west-2:1:key/1",
            "arn:aws:kms:us-west-2:1:grant/1",
        ] {
            assert_eq!(region(arn).unwrap_err(), format!("no valid ARN found in '{arn}'"));
        }
    }

    #[test]
    fn sessions_are_named_as_by_sops() {
        assert_eq!(session_name("pod-1_a b/c"), "sops@pod-1_abc");
        assert_eq!(session_name(&"x".repeat(100)).len(), 64);
    }

    #[test]
    fn credentials_are_read_and_never_quoted() {
        let text = "aws_access_key_id: AKIA\naws_secret_access_key: s3cret\naws_session_token: t0ken\n";
        let read = credentials(text).unwrap();
        assert_eq!((read.access_key.as_str(), read.secret_key.expose()), ("AKIA", "s3cret"));
        assert_eq!(read.session_token.unwrap().expose(), "t0ken");
        for text in ["s3cret", "- s3cret", "a: [s3cret", "aws_access_key_id: [s3cret]"] {
            let error = credentials(text).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}

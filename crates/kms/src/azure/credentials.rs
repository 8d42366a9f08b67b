//! The entry `sops.azure-kv` of a Secret: an application with a secret or certificate, what `az` prints, or a managed identity.

use auth::azure::{
    Application, AuthorityError, AzureError, Certificate, CertificateError, PUBLIC_AUTHORITY, Principal,
    Proof, authority_url, managed_identity,
};
use auth::{AccessToken, Environment};
use secret::Secret;

use super::KeyVaultError;
use crate::fields::Fields;
use crate::{FieldsError, KeyServices, Owner};

/// Credentials of a Secret.
#[derive(Debug)]
pub enum Credentials {
    /// An application that proves itself.
    Principal(Box<Principal>),
    /// A managed identity of the machine that this process runs on.
    ManagedIdentity {
        /// Its client id.
        client: String,
    },
}

/// The entry of a Secret cannot be used. The text holds nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Not a mapping.
    #[error("failed to unmarshal Azure authentication file: {0}")]
    Fields(#[from] FieldsError),
    /// Neither a secret nor a certificate.
    #[error(
        "invalid data: requires 'clientSecret' or 'clientCertificate' when both 'tenantId' and 'clientId' are set"
    )]
    Incomplete,
    /// Nothing that names anybody.
    #[error(
        "invalid data: requires a 'clientId' field, a combination of 'tenantId', 'clientId' and 'clientSecret', or 'tenantId', 'clientId' and 'clientCertificate'"
    )]
    Nothing,
    /// The certificate cannot be used.
    #[error("invalid 'clientCertificate': {0}")]
    Certificate(#[from] CertificateError),
    /// The host would get the secret in the clear, or is none.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Credentials {
    /// Reads the entry, in YAML or JSON, in UTF-8 or, behind a byte order mark, in UTF-16.
    ///
    /// # Errors
    /// When it names nobody who could prove himself.
    pub fn parse(content: &[u8]) -> Result<Credentials, CredentialsError> {
        let fields = Fields::parse(Secret::new(decode(content)).expose())?;
        let (tenant, client) = (fields.text("tenantId")?, fields.text("clientId")?);
        let authority = fields.text("authorityHost")?.unwrap_or_else(|| PUBLIC_AUTHORITY.to_owned());
        let principal = |tenant: String, client: String, proof: Proof| {
            let application = Application { tenant, client };
            let authority = authority_url(&authority)?;
            Ok(Credentials::Principal(Box::new(Principal { application, proof, authority })))
        };
        match (tenant, client) {
            (Some(tenant), Some(client)) => {
                if let Some(secret) = fields.secret("clientSecret")? {
                    return principal(tenant, client, Proof::Secret(secret));
                }
                let certificate = fields.secret("clientCertificate")?.ok_or(CredentialsError::Incomplete)?;
                // A password is for PKCS#12, which is refused by name.
                let send_chain = fields.flag("clientCertificateSendChain")?;
                let certificate = Certificate::from_pem(certificate.expose(), send_chain)?;
                principal(tenant, client, Proof::Certificate(certificate))
            }
            (_, client) => {
                let of_az = (fields.text("tenant")?, fields.text("appId")?, fields.secret("password")?);
                match (of_az, client) {
                    ((Some(tenant), Some(client), Some(secret)), _) => {
                        principal(tenant, client, Proof::Secret(secret))
                    }
                    (_, Some(client)) => Ok(Credentials::ManagedIdentity { client }),
                    _ => Err(CredentialsError::Nothing),
                }
            }
        }
    }

    /// Whose they are: an identity of the machine is nobody's but the operator's, whoever names it.
    pub fn owner(&self) -> Owner {
        match self {
            Credentials::Principal(_) => Owner::Tenant,
            Credentials::ManagedIdentity { .. } => Owner::Controller,
        }
    }

    /// A token for `scope`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn token(&self, scope: &str, services: &KeyServices) -> Result<AccessToken, KeyVaultError> {
        let token: Result<AccessToken, AzureError> = match self {
            // The Secret names the authority.
            Credentials::Principal(principal) => principal.token(scope, &services.tenants).await,
            Credentials::ManagedIdentity { client } => {
                let environment: &Environment = &services.environment;
                managed_identity(Some(client), scope, environment, &services.clouds).await
            }
        };
        token.map_err(KeyVaultError::Token)
    }
}

/// A text behind its byte order mark; without one it is UTF-8.
fn decode(content: &[u8]) -> String {
    let units = |bytes: &[u8], read: fn([u8; 2]) -> u16| -> Vec<u16> {
        let (pairs, _) = bytes.as_chunks::<2>();
        pairs.iter().map(|pair| read(*pair)).collect()
    };
    match content {
        [0xff, 0xfe, rest @ ..] => String::from_utf16_lossy(&units(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => String::from_utf16_lossy(&units(rest, u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(content).into_owned(),
    }
}

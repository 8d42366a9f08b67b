//! Tokens for Google Cloud Storage: of a service account's key, else of the identity of the object.

use ::auth::cache::Key;
use ::auth::gcp::{GcpError, ServiceAccountKey};
use bucket::Client;
use bucket::gcs::{Access, Endpoint, SCOPE};
use identity::{Identity, Target};
use secret::Secret;
use source::failure::Failure;

use super::{Asked, Clients, EMULATOR, failed, lacks, not_confirmed};

/// The entry of a Secret.
const ENTRY: &str = "serviceaccount";

impl Clients {
    pub(super) async fn gcs(&self, asked: Asked<'_>, endpoint: Endpoint) -> Result<Client, Failure> {
        let token = match asked.secret.as_ref() {
            Some((name, data)) => {
                let json =
                    data.secret(ENTRY).ok_or_else(|| lacks(name, "required fields 'serviceaccount'"))?;
                Some(self.of_key(&asked, name, &json).await?)
            }
            None => {
                let identity = self.identity(&asked).await?;
                // An emulator needs nobody's token, and one that runs elsewhere has no platform that gives some.
                let is_needed =
                    !matches!(identity, Identity::Controller) || self.environment().get(EMULATOR).is_none();
                match is_needed {
                    true => Some(self.of_identity(&asked, &identity, Target::Gcp).await?),
                    false => None,
                }
            }
        };
        let access = Access { token, proxy: asked.proxy, ..Access::default() };
        let limits = self.limits.clone();
        Client::gcs(endpoint, &asked.object.spec.bucket_name, access, limits).map_err(failed)
    }

    async fn of_key(&self, asked: &Asked<'_>, name: &str, json: &Secret) -> Result<Secret, Failure> {
        let account = ServiceAccountKey::parse(json.expose()).map_err(|error| match error {
            GcpError::Kind(_) => {
                let what = "must contain a service account key with 'type' set to 'service_account'";
                lacks(name, &format!("'{ENTRY}' {what}"))
            }
            error => lacks(name, &error.to_string()),
        })?;
        let http = asked.tenant_http()?;
        let key = Key::new(["gcs", json.expose()]).by_way_of(&asked.proxy);
        let fetch = async {
            let token = account.token(&[SCOPE], &http).await;
            token.map_err(|error| not_confirmed(asked.object, &error))
        };
        self.kept(asked, key, fetch).await
    }
}

//! With what an object is let in at Azure: what its Secret holds, in Flux's order, else its identity.

use ::auth::Environment;
use ::auth::azure::{Application, Certificate, Principal, Proof, authority, authority_url, managed_identity};
use ::auth::cache::Key;
use bucket::Client;
use bucket::azure::{Access, AccountKey, Credentials, Endpoint, SCOPE, Sas};
use identity::{Owner, Target};
use net::TlsConfig;
use references::SecretData;
use secret::Secret;
use serde::Deserialize;
use source::failure::Failure;
use url::Url;

use super::{Asked, Clients, failed, lacks, not_confirmed};

/// The variable of a file in which the operator tells of another cloud: `storageEndpointSuffix`.
const CLOUD_VARIABLE: &str = "AZURE_ENVIRONMENT_FILEPATH";
/// What Flux says of a Secret that has nothing of use.
const NOTHING: &str = "requires a 'clientId' or 'accountKey' field, a combination of 'tenantId', 'clientId' and \
                       'clientSecret', or 'tenantId', 'clientId' and 'clientCertificate'";

impl Clients {
    pub(super) async fn azure(&self, asked: Asked<'_>, endpoint: Endpoint) -> Result<Client, Failure> {
        let (endpoint, credentials) = match asked.secret.as_ref() {
            Some((name, data)) => self.of_azure_secret(&asked, name, data, endpoint).await?,
            None => {
                let identity = self.identity(&asked).await?;
                if identity.owner() == Owner::Controller {
                    check_host(self.environment(), &endpoint).await?;
                }
                let token = self.of_identity(&asked, &identity, Target::Azure { scope: SCOPE }).await?;
                (endpoint, Credentials::Token(token))
            }
        };
        let access = Access { credentials, proxy: asked.proxy, ..Access::default() };
        let limits = self.limits.clone();
        Client::azure(endpoint, &asked.object.spec.bucket_name, access, limits).map_err(failed)
    }

    async fn of_azure_secret(
        &self,
        asked: &Asked<'_>,
        name: &str,
        data: &SecretData,
        endpoint: Endpoint,
    ) -> Result<(Endpoint, Credentials), Failure> {
        let client = data.text("clientId");
        if let (Some(tenant), Some(client)) = (data.text("tenantId"), client.clone()) {
            let application = Application { tenant, client };
            if let Some((proof, secret)) = proof(name, data)? {
                let token = self.of_application(asked, application, proof, &secret, data).await?;
                return Ok((endpoint, Credentials::Token(token)));
            }
        }
        if let Some(client) = client {
            check_host(self.environment(), &endpoint).await?;
            let token = self.of_machine(asked, &client).await?;
            return Ok((endpoint, Credentials::Token(token)));
        }
        if let Some(key) = data.secret("accountKey") {
            let account = endpoint.account().map_err(|error| {
                failed(format!("failed to create shared credential from '{name}' Secret data: {error}"))
            })?;
            let key = AccountKey::new(account, &key).map_err(failed)?;
            return Ok((endpoint, Credentials::AccountKey(key)));
        }
        if let Some(key) = data.secret("sasKey") {
            let (endpoint, sas) = Sas::of_endpoint(endpoint, &key).map_err(failed)?;
            return Ok((endpoint, Credentials::Sas(sas)));
        }
        Err(lacks(name, NOTHING))
    }

    /// A token for an application that proves itself by `secret`.
    async fn of_application(
        &self,
        asked: &Asked<'_>,
        application: Application,
        proof: Proof,
        secret: &Secret,
        data: &SecretData,
    ) -> Result<Secret, Failure> {
        let authority = match data.text("authorityHost").filter(|host| !host.is_empty()) {
            Some(host) => authority_url(&host).map_err(failed)?,
            None => Url::parse(authority(self.environment())).map_err(failed)?,
        };
        let Application { tenant, client } = &application;
        let key = Key::new(["azure blob", tenant, client, authority.as_str(), secret.expose()]);
        let key = key.by_way_of(&asked.proxy);
        let (http, principal) = (asked.tenant_http()?, Principal { application, proof, authority });
        let fetch = async {
            principal.token(SCOPE, &http).await.map_err(|error| not_confirmed(asked.object, &error))
        };
        self.kept(asked, key, fetch).await
    }

    /// A token of a managed identity of the machine, which is nobody's but the operator's, whoever names it.
    async fn of_machine(&self, asked: &Asked<'_>, client: &str) -> Result<Secret, Failure> {
        let http = identity::http(&TlsConfig::default(), None, asked.timeout).map_err(failed)?;
        let fetch = async {
            let token = managed_identity(Some(client), SCOPE, self.environment(), &http).await;
            token.map_err(|error| not_confirmed(asked.object, &error))
        };
        self.kept(asked, Key::new(["azure blob identity", client]), fetch).await
    }
}

/// Tokens of the controller and of its machine are for accounts at Azure alone, and in the cloud that the operator tells of.
async fn check_host(environment: &Environment, endpoint: &Endpoint) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Cloud {
        #[serde(default, rename = "storageEndpointSuffix")]
        suffix: String,
    }
    if endpoint.is_of_azure() {
        return Ok(());
    }
    if let Some(json) = environment.file(CLOUD_VARIABLE).await.map_err(failed)? {
        let suffix = serde_json::from_str::<Cloud>(&json).map(|cloud| cloud.suffix).unwrap_or_default();
        if !suffix.is_empty() && endpoint.is_below(&format!("blob.{}", suffix.trim_start_matches('.'))) {
            return Ok(());
        }
    }
    let host = endpoint.host();
    Err(failed(format!(
        "Azure authentication failed: the controller's own credentials are not for the host '{host}'"
    )))
}

/// By what an application proves itself, and the text of it.
fn proof(name: &str, data: &SecretData) -> Result<Option<(Proof, Secret)>, Failure> {
    let given = |key: &str| data.secret(key).filter(|value| !value.is_empty());
    if let Some(secret) = given("clientSecret") {
        return Ok(Some((Proof::Secret(secret.clone()), secret)));
    }
    let Some(pem) = given("clientCertificate") else { return Ok(None) };
    let send_chain = data.text("clientCertificateSendChain");
    let send_chain = send_chain.is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"));
    let certificate = Certificate::from_pem(pem.expose(), send_chain).map_err(|error| {
        let what = format!("failed to create token credential from '{name}' Secret");
        failed(format!("{what}: failed to parse client certificates: {error}"))
    })?;
    Ok(Some((Proof::Certificate(certificate), pem)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use k8s_openapi::ByteString;

    use super::*;

    #[tokio::test]
    async fn credentials_of_the_controller_are_for_accounts_at_azure_and_in_the_cloud_of_the_operator() {
        let endpoint = |text: &str| Endpoint::parse(text).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(br#"{"name": "stack", "storageEndpointSuffix": "local.azurestack.external"}"#)
            .unwrap();
        let public = Environment::from_iter(Vec::<(String, String)>::new());
        let stack = Environment::from_iter([(CLOUD_VARIABLE, file.path().to_str().unwrap())]);
        for (text, at_public, at_stack) in [
            ("https://me.blob.core.windows.net", true, true),
            ("https://me.blob.local.azurestack.external", false, true),
            ("http://me.blob.local.azurestack.external", false, false),
            ("https://a.me.blob.local.azurestack.external", false, false),
            ("https://me.local.azurestack.external", false, false),
            ("https://evil.example", false, false),
        ] {
            for (environment, expected) in [(&public, at_public), (&stack, at_stack)] {
                let checked = check_host(environment, &endpoint(text)).await;
                assert_eq!(checked.is_ok(), expected, "{text}");
                let host = endpoint(text).host().to_owned();
                let message =
                    "Azure authentication failed: the controller's own credentials are not for the host";
                let told = checked.err().map(|failure| failure.message);
                assert_eq!(told, (!expected).then(|| format!("{message} '{host}'")));
            }
        }
    }

    #[test]
    fn an_application_proves_itself_by_a_secret_before_a_certificate() {
        let data = |entries: &[(&str, &str)]| {
            let value =
                |(key, text): &(&str, &str)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec()));
            SecretData::new("ns/keys", entries.iter().map(value).collect::<BTreeMap<_, _>>())
        };
        let both = data(&[("clientSecret", "s"), ("clientCertificate", "no PEM")]);
        assert!(matches!(proof("keys", &both).unwrap(), Some((Proof::Secret(_), _))));
        assert!(proof("keys", &data(&[("clientSecret", ""), ("clientId", "c")])).unwrap().is_none());
        let failure =
            proof("keys", &data(&[("clientSecret", ""), ("clientCertificate", "s3cret")])).unwrap_err();
        let text =
            "failed to create token credential from 'keys' Secret: failed to parse client certificates: ";
        assert!(failure.message.starts_with(text), "{}", failure.message);
        assert!(!failure.message.contains("s3cret"), "{}", failure.message);
    }
}

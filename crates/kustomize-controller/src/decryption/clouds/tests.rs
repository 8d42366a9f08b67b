//! Key services that are asked in the name of a service account, at recorded clouds.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use auth::Environment;
use e2e::token_server::TokenServer;
use identity::Tokens;
use kube::Client;
use runtime::metrics::Metrics;

use super::{super::keys::Source, *};

const KEY: &str = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
const ACCOUNT: &str = r#"{"metadata": {"name": "me", "namespace": "ns", "annotations": {
    "transit-engine.auth.fluxcd.io/login-path": "auth/login", "transit-engine.auth.fluxcd.io/role": "me",
    "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/me",
    "gcp.auth.fluxcd.io/workload-identity-provider": "projects/1/locations/global/workloadIdentityPools/p/providers/q"}}}"#;
const ASSERTION: &str = r#"{"spec": {"audiences": []}, "status": {"token": "assertion", "expirationTimestamp": "2099-01-01T00:00:00Z"}}"#;
const KEYS: &str = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>";

/// What a build unwraps with `clouds` in the name of `identity`.
async fn unwrapped(clouds: &Arc<Clouds>, identity: &Identity, key: &MasterKey) -> Result<Vec<u8>> {
    let (clouds, key) = (clouds.clone(), key.clone());
    let keys = Keys {
        object: ("ns".to_owned(), "app".to_owned()),
        source: Source::None,
        identity: identity.clone(),
        clouds: None,
    };
    let build = move || {
        let deadline = Deadline::new(Duration::from_secs(60));
        let caller = Caller::new(&clouds, Credentials::default(), &keys, &deadline);
        caller.unwrap(&key).map(|key| key.expose().to_vec())
    };
    tokio::task::spawn_blocking(build).await.unwrap()
}

#[tokio::test]
async fn builds_share_the_tokens_of_a_service_account_and_they_are_counted() {
    let answers = [
        ("GET /api/v1/namespaces/ns/serviceaccounts/me", 200, ACCOUNT),
        ("POST /api/v1/namespaces/ns/serviceaccounts/me/token", 201, ASSERTION),
        ("POST /sts/", 200, KEYS),
        ("POST /v1/token", 200, r#"{"access_token": "t", "expires_in": 3600}"#),
        ("POST /kms/", 200, r#"{"Plaintext": "a2V5"}"#),
        (&format!("POST /v1/{KEY}:decrypt"), 200, r#"{"plaintext": "a2V5"}"#),
    ];
    let server = TokenServer::start(false, &answers).await.unwrap();
    let url = &server.url;
    let environment: Environment = [
        ("AWS_ENDPOINT_URL_STS", format!("{url}/sts/")),
        ("AWS_ENDPOINT_URL_KMS", format!("{url}/kms/")),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", url.clone()),
        ("SOPS_GCP_KMS_ENDPOINT", url.clone()),
    ]
    .into_iter()
    .collect();
    let metrics = Metrics::new().unwrap();
    let client = Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let tokens = Tokens::new(TokenCache::new(9, Duration::from_secs(60)), &metrics).unwrap();
    let limits = kms::Limits::default();
    let clouds = Arc::new(Clouds {
        services: KeyServices::new(environment.clone(), Default::default(), &limits).await.unwrap(),
        identities: identity::Clouds::new(client.clone(), environment, tokens),
        vaults: Default::default(),
        runtime: Handle::current(),
    });
    let identity = Identity::get(&client, "ns", Some("me")).await.unwrap();
    let aws = MasterKey::AwsKms {
        arn: "arn:aws:kms:eu-west-1:1:key/k".to_owned(),
        role: String::new(),
        context: BTreeMap::new(),
        profile: String::new(),
        wrapped: "d3JhcHBlZA==".to_owned(),
    };
    let gcp = MasterKey::GcpKms { resource_id: KEY.to_owned(), wrapped: "d3JhcHBlZA==".to_owned() };
    for (key, exchange, operation) in
        [(aws, "POST /sts/", "decrypt_with_aws"), (gcp, "POST /v1/token", "decrypt_with_gcp")]
    {
        server.take_requests();
        for _ in 0..3 {
            assert_eq!(unwrapped(&clouds, &identity, &key).await.unwrap(), b"key");
        }
        let asked = server.take_requests();
        assert_eq!(asked.iter().filter(|(line, _)| line == exchange).count(), 1, "{asked:?}");
        for (event, count) in [("cache_miss", 1), ("cache_hit", 2)] {
            let line = format!(
                r#"gotk_token_cache_events_total{{event_type="{event}",kind="Kustomization",name="app",namespace="ns",operation="{operation}"}} {count}"#
            );
            assert!(metrics.render().contains(&line), "{line}");
        }
    }
    let azure = MasterKey::AzureKeyVault {
        vault_url: "https://v.vault.azure.net/".to_owned(),
        name: "k".to_owned(),
        version: String::new(),
        wrapped: String::new(),
    };
    let error = unwrapped(&clouds, &identity, &azure).await.unwrap_err().to_string();
    let text = "failed to get provider identity from service account 'ns/me' annotations: azure tenant ID is not set in the service account annotation azure.workload.identity/tenant-id";
    assert_eq!(error, text);

    let huawei = MasterKey::HuaweiKms { key_id: "region:key".to_owned(), wrapped: String::new() };
    let error = unwrapped(&clouds, &identity, &huawei).await.unwrap_err().to_string();
    assert_eq!(error, "keys of Huawei Cloud KMS are not supported");

    let vault = MasterKey::Vault {
        address: url.clone(),
        engine_path: "sops".to_owned(),
        key_name: "k".to_owned(),
        wrapped: "vault:v1:wrapped".to_owned(),
    };
    const LOGIN: &str = "POST /v1/auth/login";
    server.take_requests();
    let error = unwrapped(&clouds, &identity, &vault).await.unwrap_err().to_string();
    assert!(error.contains("at login path 'auth/login' as role 'me': 404"), "{error}");
    server.set_answer(LOGIN, 200, r#"{"auth": {"client_token": "t"}}"#);
    server.set_answer("POST /v1/sops/decrypt/k", 200, r#"{"data": {"plaintext": "a2V5"}}"#);
    for _ in 0..2 {
        assert_eq!(unwrapped(&clouds, &identity, &vault).await.unwrap(), b"key");
    }
    // The token of the account that was refused is not shown again, the other one is.
    let asked = server.take_requests();
    let count = |wanted: &str| asked.iter().filter(|(line, _)| line.ends_with(wanted)).count();
    assert_eq!((count("/serviceaccounts/me/token"), count(LOGIN)), (2, 3), "{asked:?}");
}

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use api::{kustomization::KubeConfigReference, meta::LocalObjectReference};
use apply::{manager::Manager, mapper::MapperOptions, observe::IndexOptions};
use auth::{TokenCache, aws, azure, gcp};
use base64::{Engine, prelude::BASE64_STANDARD};
use budget::Limits;
use e2e::token_server::TokenServer;
use identity::{Operation, Tokens};
use kube::Client;
use runtime::{client::ClientOptions, metrics::Metrics};

use references::SharedReads;

use super::*;
use crate::{Clusters, Options, Trust};

const ARN: &str = "arn:aws:eks:eu-west-1:1:cluster/main";
const AKS: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/main";
const GKE: &str = "projects/p/locations/l/clusters/main";
const DESCRIBED: &str = "https://described.example:6443";
const TIMEOUT: Duration = Duration::from_secs(60);

fn settings(entries: &[(&str, &str)]) -> Settings {
    let data = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Settings::new(&data.collect(), Some("default-account"))
}

#[test]
fn entries_have_defaults() {
    let read = settings(&[("provider", "generic"), ("audiences", "a, b\n c\n"), ("address", "")]);
    assert_eq!(read.audiences, ["a", "b", "c"]);
    assert_eq!(read.cluster, managed_clusters::Settings::default());
    assert_eq!(read.account.as_deref(), Some("default-account"));
    assert_eq!(settings(&[("serviceAccountName", "")]).account.as_deref(), Some("default-account"));
    assert_eq!(settings(&[("serviceAccountName", "own")]).account.as_deref(), Some("own"));
    assert_eq!(Settings::new(&BTreeMap::new(), None).account, None);
}

#[test]
fn addresses_that_cannot_be_used_are_named() {
    let reach = |address: &str, ca: &str| {
        let access = reach(address, ca.as_bytes(), &AddressPolicy::default());
        access.map(|access| access.config.cluster_url.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(reach("A.example", ""), Ok("https://a.example/".to_owned()));
    assert_eq!(reach("https://a.example:6443", ""), Ok("https://a.example:6443/".to_owned()));
    for (address, text) in [
        ("http://a.example", "failed to parse cluster address http://a.example: it must use https"),
        ("169.254.169.254", "connections to 169.254.169.254 are not allowed"),
        ("https://u:secret@a.example", "must not have a user or password"),
        ("a b", "is no URL"),
    ] {
        let error = reach(address, "").unwrap_err();
        assert!(error.contains(text) && !error.contains("secret"), "{error}");
    }
    let error = reach("a.example", "none").unwrap_err();
    assert_eq!(error, "failed to parse the CA certificate of the cluster: there is none");
}

/// An API server with the service account `ns/me`, and all clouds at once, each with a cluster `main`.
struct World {
    server: TokenServer,
    clouds: Clouds,
    ca: String,
    /// Tells of Azure.
    _cloud: tempfile::NamedTempFile,
}

/// The account has these annotations beside those of clouds.
async fn world(annotations: &[(&str, &str)]) -> World {
    let ca = rcgen::generate_simple_self_signed(["described.example".to_owned()]).unwrap().cert.pem();
    let encoded = BASE64_STANDARD.encode(&ca);
    let clouds = [
        (aws::ROLE_ANNOTATION, "arn:aws:iam::1:role/me"),
        (azure::TENANT_ANNOTATION, "tenant"),
        (azure::CLIENT_ANNOTATION, "client"),
        (gcp::PROVIDER_ANNOTATION, "projects/1/locations/global/workloadIdentityPools/p/providers/q"),
    ];
    let annotations: Vec<_> =
        clouds.iter().chain(annotations).map(|(key, value)| format!("{key:?}: {value:?}")).collect();
    let metadata =
        format!(r#"{{"name": "me", "namespace": "ns", "annotations": {{{}}}}}"#, annotations.join(", "));
    let account = format!(r#"{{"metadata": {metadata}}}"#);
    let assertion = r#"{"spec": {"audiences": []}, "status": {"token": "assertion", "expirationTimestamp": "2099-01-01T00:00:00Z"}}"#;
    let keys = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
        <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>";
    let opaque = r#"{"access_token": "opaque", "expires_in": 3600}"#;
    let eks = format!(
        r#"{{"cluster": {{"endpoint": {DESCRIBED:?}, "certificateAuthority": {{"data": {encoded:?}}}}}}}"#
    );
    let kubeconfig = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: c}}}}]\nclusters: [{{name: c, cluster: {{server: '{DESCRIBED}', certificate-authority-data: {encoded}}}}}]"
    );
    let listed = format!(r#"{{"kubeconfigs": [{{"value": {:?}}}]}}"#, BASE64_STANDARD.encode(kubeconfig));
    let gke =
        format!(r#"{{"endpoint": {DESCRIBED:?}, "masterAuth": {{"clusterCaCertificate": {encoded:?}}}}}"#);
    let aks = [format!("GET /arm{AKS}"), format!("POST /arm{AKS}/listClusterUserCredential")];
    let answers = [
        ("GET /api/v1/namespaces/ns/serviceaccounts/me", 200, account.as_str()),
        ("POST /api/v1/namespaces/ns/serviceaccounts/me/token", 201, assertion),
        ("POST /sts/", 200, keys),
        ("POST /tenant/oauth2/v2.0/token", 200, opaque),
        ("GET /metadata/identity/oauth2/token", 200, opaque),
        ("POST /v1/token", 200, opaque),
        ("GET /computeMetadata/v1/instance/service-accounts/default/token", 200, opaque),
        ("GET /clusters/main", 200, &eks),
        (&aks[0], 200, r#"{"properties": {"aadProfile": {}}}"#),
        (&aks[1], 200, &listed),
        ("GET /v1/projects/p/locations/l/clusters/main", 200, &gke),
    ];
    let server = TokenServer::start(false, &answers).await.unwrap();
    let url = &server.url;
    let cloud = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        cloud.path(),
        format!(r#"{{"resourceManagerEndpoint": "{url}/arm", "tokenAudience": "arm"}}"#),
    )
    .unwrap();
    let environment = [
        ("AWS_ENDPOINT_URL_STS", format!("{url}/sts/")),
        ("AWS_ENDPOINT_URL_EKS", url.clone()),
        ("AWS_ACCESS_KEY_ID", "C".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "c".to_owned()),
        ("AZURE_AUTHORITY_HOST", url.clone()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", url.clone()),
        ("AZURE_ENVIRONMENT_FILEPATH", cloud.path().to_str().unwrap().to_owned()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", url.clone()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", url.clone()),
        ("GCE_METADATA_HOST", url.trim_start_matches("http://").to_owned()),
    ];
    let client = Client::try_from(Config::new(url.parse().unwrap())).unwrap();
    let tokens = Tokens::new(TokenCache::new(10, TIMEOUT), &Metrics::new().unwrap()).unwrap();
    let clouds = Clouds::new(client, environment.into_iter().collect(), tokens);
    World { server, clouds, ca, _cloud: cloud }
}

impl World {
    /// The way that a ConfigMap leads, and what makes the tokens there.
    async fn open(
        &self,
        entries: &[(&str, &str)],
        account: &str,
    ) -> Result<(Access, ClusterTokens), ConfigMapError> {
        let data = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let settings = Settings::new(&data.collect(), Some(account).filter(|name| !name.is_empty()));
        let tokens = settings.tokens(&self.clouds, "ns", TIMEOUT).await?;
        Ok((settings.access(&tokens, None, &AddressPolicy::default()).await?, tokens))
    }

    async fn error(&self, entries: &[(&str, &str)], account: &str) -> String {
        self.open(entries, account).await.err().unwrap().to_string()
    }
}

const PROVIDERS: [(&str, &str); 3] = [("aws", ARN), ("azure", AKS), ("gcp", GKE)];

#[tokio::test]
async fn a_cloud_tells_where_its_cluster_is_and_gives_its_tokens() {
    for (provider, cluster) in PROVIDERS {
        for account in ["me", ""] {
            let world = world(&[]).await;
            let entries = [("provider", provider), ("cluster", cluster)];
            let (access, tokens) = world.open(&entries, account).await.unwrap();
            assert_eq!(access.config.cluster_url.to_string(), format!("{DESCRIBED}/"));
            assert_eq!(access.config.root_cert.unwrap().len(), 1);
            assert!(access.route.addresses.is_some());
            let described = world.server.take_requests();
            let token = tokens.token(None).await.unwrap().secret;
            match provider {
                "aws" => assert!(token.expose().starts_with("k8s-aws-v1."), "{provider}"),
                _ => assert_eq!(token.expose(), "opaque"),
            }
            assert_eq!(world.server.take_requests(), [], "the credentials are kept");
            let of_account = described.iter().any(|(line, _)| line.contains("serviceaccounts/me/token"));
            assert_eq!(of_account, account == "me", "{described:?}");
        }
    }
}

#[tokio::test]
async fn what_a_config_map_says_counts_for_the_identity_of_a_tenant_alone() {
    for (provider, cluster) in PROVIDERS {
        let world = world(&[]).await;
        let (address, ca) = ("https://own.example", world.ca.clone());
        let entries =
            [("provider", provider), ("cluster", cluster), ("address", address), ("ca.crt", ca.as_str())];
        let (access, _) = world.open(&entries, "me").await.unwrap();
        assert_eq!(access.config.cluster_url.to_string(), "https://own.example/");
        let asked = world.server.take_requests();
        assert!(asked.iter().all(|(line, _)| !line.contains("main")), "{asked:?}");
        let error = world.error(&entries, "").await;
        let text = match provider {
            "azure" => "no kubeconfig found for AKS cluster main matching the specified address",
            _ => "the address 'https://own.example:443' is not one of cluster",
        };
        assert!(error.starts_with(text), "{error}");
    }
}

#[tokio::test]
async fn what_gives_no_access_is_told_as_by_flux() {
    let world = world(&[]).await;
    for (entries, account, text) in [
        (&[("provider", "x")][..], "me", "provider 'x' not implemented"),
        (&[], "me", "provider '' not implemented"),
        (&[("provider", "generic")], "me", "cluster address is required to create a REST config"),
        (&[("provider", "aws")], "me", "invalid EKS cluster ARN: ''. must match "),
        (&[("provider", "azure"), ("cluster", "c")], "me", "invalid AKS cluster ID: 'c'. must match "),
        (&[("provider", "gcp"), ("cluster", "c")], "me", "invalid GKE cluster ID: 'c'. must match "),
        (&[("provider", "gcp"), ("cluster", GKE)], "nobody", "failed to get service account 'ns/nobody': "),
        (
            &[("provider", "gcp"), ("cluster", "projects/p/locations/l/clusters/other")],
            "me",
            "failed to describe GKE cluster 'projects/p/locations/l/clusters/other': 404 Not Found",
        ),
    ] {
        let error = world.error(entries, account).await;
        assert!(error.starts_with(text), "{error}");
    }
    // The controller's own identity does not look at them.
    let entries = [("provider", "gcp"), ("cluster", GKE), ("audiences", "a")];
    let error = world.error(&entries, "me").await;
    let text =
        "failed to validate configuration: the provider 'gcp' takes no audiences with a service account";
    assert!(error.starts_with(text), "{error}");
    assert!(world.open(&entries, "").await.is_ok());
    let own = [(aws::ROLE_ANNOTATION, "me"), ("credential.auth.fluxcd.io/audiences", "a")];
    let world = self::world(&own).await;
    let entries = [("provider", "aws"), ("cluster", ARN)];
    let error = world.error(&entries, "me").await;
    let text = "failed to get access credential for cluster: failed to get provider identity from service account 'ns/me' annotations: invalid eks.amazonaws.com/role-arn annotation: 'me'";
    assert!(error.starts_with(text), "{error}");
    let error = world.error(&[entries[0], entries[1], ("audiences", "b")], "me").await;
    assert!(
        error.starts_with("failed to validate configuration: the audiences stand in the ConfigMap"),
        "{error}"
    );
}

/// How EKS tells of a cluster.
fn eks_description(address: &str, ca: &str) -> String {
    let ca = BASE64_STANDARD.encode(ca);
    format!(r#"{{"cluster": {{"endpoint": {address:?}, "certificateAuthority": {{"data": {ca:?}}}}}}}"#)
}

/// So much later.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_cluster_that_its_cloud_has_moved_is_found_again() {
    const DESCRIBE: &str = "GET /clusters/main";
    let world = world(&[]).await;
    let api = async || TokenServer::start(true, &[("GET /version", 200, "{}")]).await.unwrap();
    let (first, second) = (api().await, api().await);
    let describe = |server: &TokenServer| {
        world.server.set_answer(DESCRIBE, 200, &eks_description(&server.url, server.ca_pem().unwrap()));
    };
    describe(&first);
    let config_map =
        format!(r#"{{"metadata": {{"name": "access"}}, "data": {{"provider": "aws", "cluster": {ARN:?}}}}}"#);
    world.server.set_answer("GET /api/v1/namespaces/ns/configmaps/access", 200, &config_map);
    let backoff = net::Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(1) };
    let options = Options {
        manager: Manager { field_manager: "test", group: "test" },
        discovery: MapperOptions { min_interval: TIMEOUT, request_timeout: TIMEOUT },
        watches: IndexOptions { idle: TIMEOUT, retry: backoff, rediscovery: TIMEOUT, page_size: 1 },
        client: ClientOptions {
            request_timeout: Duration::from_millis(300),
            retries: 0,
            ..ClientOptions::default()
        },
        trust: Trust::default(),
        default_account: Some("me".to_owned()),
        limits: Limits { process: 9, tenant: 9 },
    };
    let clusters = Clusters::new(
        world.clouds.clone(),
        SharedReads::new(world.clouds.client().clone()),
        Metrics::new().unwrap(),
        options,
    );
    let connect = async || {
        let object = Requester {
            kind: "Kustomization",
            namespace: "ns",
            name: "app",
            operation: Operation::FetchKubeconfig,
        };
        let config_map_ref = Some(LocalObjectReference { name: "access".to_owned() });
        clusters.connect(object, &KubeConfigReference { config_map_ref, secret_ref: None }).await
    };
    let described = || {
        let requests = world.server.take_requests();
        requests.into_iter().filter(|(line, _)| line == DESCRIBE).count()
    };
    let cluster = connect().await.unwrap();
    assert!(Arc::ptr_eq(&cluster, &connect().await.unwrap()));
    assert_eq!(described(), 1);
    first.set_silent(true);
    for (seconds, asked) in [(10, 0), (10, 0), (300, 1), (10, 0)] {
        later(seconds).await;
        assert!(matches!(connect().await, Err(crate::ConnectError::Unreachable(_))));
        assert_eq!(described(), asked, "{seconds}");
    }
    describe(&second);
    later(300).await;
    let moved = connect().await.unwrap();
    assert!(!Arc::ptr_eq(&cluster, &moved));
    assert!(Arc::ptr_eq(&moved, &connect().await.unwrap()));
    assert_eq!(described(), 1);
}

#[tokio::test]
async fn another_identity_or_audience_is_another_connection() {
    let entries = [("provider", "aws"), ("cluster", ARN)];
    let key = async |annotations: &[(&str, &str)], more: &[(&str, &str)], account: &str| {
        let world = world(annotations).await;
        let all: Vec<_> = entries.iter().chain(more).copied().collect();
        let (settings, clouds) = (settings(&all), world.clouds.clone());
        let settings = Settings { account: (!account.is_empty()).then(|| account.to_owned()), ..settings };
        let tokens = settings.tokens(&clouds, "ns", TIMEOUT).await.unwrap();
        crate::Source::ConfigMap(Box::new(settings), Arc::new(tokens)).key()
    };
    let first = key(&[], &[], "me").await;
    assert_eq!(first, key(&[("example.org/note", "x")], &[], "me").await);
    let mut others = vec![
        first,
        key(&[], &[], "").await,
        key(&[(aws::ROLE_ANNOTATION, "arn:aws:iam::1:role/other")], &[], "me").await,
        key(&[(azure::CLIENT_ANNOTATION, "other")], &[], "me").await,
        key(&[("credential.auth.fluxcd.io/audiences", "a")], &[], "me").await,
        key(&[("credential.auth.fluxcd.io/expiration", "1h")], &[], "me").await,
        key(&[], &[("audiences", "a")], "me").await,
        key(&[], &[("address", "a.example")], "me").await,
        key(&[], &[("ca.crt", "x")], "me").await,
    ];
    let count = others.len();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), count);
}

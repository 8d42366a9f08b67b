#![allow(clippy::unwrap_used)]

use auth::TokenCache;
use e2e::token_server::TokenServer;
use runtime::metrics::Metrics;

use super::*;

const ROLE: (&str, &str) = (aws::ROLE_ANNOTATION, "arn:aws:iam::1:role/me");
const TENANT: (&str, &str) = (azure::TENANT_ANNOTATION, "tenant");
const CLIENT: (&str, &str) = (azure::CLIENT_ANNOTATION, "client");
const POOL: &str = "projects/1/locations/global/workloadIdentityPools/p/providers/q";
const PROVIDER: (&str, &str) = (gcp::PROVIDER_ANNOTATION, POOL);
const AUDIENCES: &str = "credential.auth.fluxcd.io/audiences";

const AWS: Target<'_> = Target::Aws { region: "eu-west-1", sts: None };
const AZURE: Target<'_> = Target::Azure { scope: "https://vault.azure.net/.default" };
const OPTIONS: Options<'_> = Options { requester: None, proxy: None, timeout: Duration::from_secs(60) };

const OPAQUE: &str = r#"{"access_token": "t", "expires_in": 3600}"#;
const KEYS: &str = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>";
const ASSERTION: &str = r#"{"spec": {"audiences": []}, "status": {"token": "assertion", "expirationTimestamp": "2099-01-01T00:00:00Z"}}"#;

fn tokens() -> Tokens {
    Tokens::new(TokenCache::new(10, Duration::from_secs(3600)), &Metrics::new().unwrap()).unwrap()
}

/// An API server with the service account `ns/me`, and all clouds at once.
async fn server(annotations: &[(&str, &str)]) -> TokenServer {
    let annotations: Vec<_> = annotations.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
    let metadata =
        format!(r#"{{"name": "me", "namespace": "ns", "annotations": {{{}}}}}"#, annotations.join(", "));
    let account = format!(r#"{{"metadata": {metadata}}}"#);
    let answers = [
        ("GET /api/v1/namespaces/ns/serviceaccounts/me", 200, account.as_str()),
        ("POST /api/v1/namespaces/ns/serviceaccounts/me/token", 201, ASSERTION),
        ("POST /sts/", 200, KEYS),
        ("POST /tenant/oauth2/v2.0/token", 200, OPAQUE),
        ("POST /other/oauth2/v2.0/token", 200, OPAQUE),
        ("GET /metadata/identity/oauth2/token", 200, OPAQUE),
        ("POST /v1/token", 200, OPAQUE),
        ("GET /computeMetadata/v1/instance/service-accounts/default/token", 200, OPAQUE),
        ("GET /computeMetadata/v1/project/project-id", 200, "p"),
        ("GET /computeMetadata/v1/instance/attributes/cluster-location", 200, "l"),
        ("GET /computeMetadata/v1/instance/attributes/cluster-name", 200, "c"),
    ];
    TokenServer::start(false, &answers).await.unwrap()
}

fn clouds(server: &TokenServer, tokens: Tokens) -> Clouds {
    let config = kube::Config::new(server.url.parse().unwrap());
    let host = server.url.trim_start_matches("http://");
    let environment = [
        ("AWS_ENDPOINT_URL_STS", format!("{}/sts/", server.url)),
        ("AZURE_AUTHORITY_HOST", server.url.clone()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url.clone()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", server.url.clone()),
        ("GCE_METADATA_HOST", host.to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/null".to_owned()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/controller".to_owned()),
    ];
    Clouds::new(Client::try_from(config).unwrap(), environment.into_iter().collect(), tokens)
}

async fn account(clouds: &Clouds) -> Identity {
    Identity::get(clouds.client(), "ns", Some("me")).await.unwrap()
}

/// Whether `target` has to be asked for a token of the account with these annotations.
async fn is_asked(tokens: &Tokens, annotations: &[(&str, &str)], target: Target<'_>) -> bool {
    let server = server(annotations).await;
    let clouds = clouds(&server, tokens.clone());
    let hit = clouds.token(&account(&clouds).await, target, &OPTIONS).await.unwrap().hit;
    let asked =
        server.take_requests().into_iter().any(|(line, _)| line.ends_with("/token") || line == "POST /sts/");
    assert_ne!(hit, asked, "{target:?} {annotations:?}");
    asked
}

#[tokio::test]
async fn a_service_account_gets_what_its_annotations_name_for_a_token_of_its_audience() {
    let all = [ROLE, TENANT, CLIENT, PROVIDER];
    for (target, line, audience, proofs) in [
        (
            AWS,
            "POST /sts/",
            "sts.amazonaws.com",
            &["RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fme", "RoleSessionName=me.ns.eu-west-1.fluxcd.io"][..],
        ),
        (
            AZURE,
            "POST /tenant/oauth2/v2.0/token",
            "api://AzureADTokenExchange",
            &["client_id=client", "scope=https%3A%2F%2Fvault.azure.net%2F.default"],
        ),
        (
            Target::Gcp,
            "POST /v1/token",
            "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            &["workloadIdentityPools%2Fp%2Fproviders%2Fq"],
        ),
    ] {
        let server = server(&all).await;
        let clouds = clouds(&server, tokens());
        let identity = account(&clouds).await;
        assert_eq!(identity.owner(), auth::Owner::Tenant);
        clouds.token(&identity, target, &OPTIONS).await.unwrap();
        let requests = server.take_requests();
        let [_, (request, body), (exchange, form)] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!(request, "POST /api/v1/namespaces/ns/serviceaccounts/me/token");
        assert!(body.contains(&format!("\"audiences\":[\"{audience}\"]")), "{body}");
        assert_eq!(exchange, line);
        for proof in proofs.iter().chain(&["assertion"]) {
            assert!(form.contains(proof), "{proof} is not in {form}");
        }
    }
}

#[tokio::test]
async fn the_pool_of_the_cluster_is_the_audience_in_gke() {
    let server = server(&[]).await;
    let clouds = clouds(&server, tokens());
    clouds.token(&account(&clouds).await, Target::Gcp, &OPTIONS).await.unwrap();
    let requests = server.take_requests();
    let body = &requests.iter().find(|(line, _)| line.ends_with("/me/token")).unwrap().1;
    assert!(body.contains(r#""audiences":["p.svc.id.goog"]"#), "{body}");
}

#[tokio::test]
async fn the_controller_has_the_identity_of_its_pod() {
    for target in [AWS, AZURE, Target::Gcp] {
        let server = server(&[]).await;
        let clouds = clouds(&server, tokens());
        let identity = Identity::get(clouds.client(), "ns", None).await.unwrap();
        assert_eq!(identity.owner(), auth::Owner::Controller);
        clouds.token(&identity, target, &OPTIONS).await.unwrap();
        let requests = server.take_requests();
        assert!(requests.iter().all(|(line, _)| !line.contains("serviceaccounts")), "{requests:?}");
        assert_eq!(requests.len(), 1);
        assert!(clouds.token(&identity, target, &OPTIONS).await.unwrap().hit);
    }
}

#[tokio::test]
async fn a_token_is_kept_by_all_that_it_depends_on() {
    let (kept, all) = (tokens(), [ROLE, TENANT, CLIENT, PROVIDER]);
    let changed = |(key, value): (&'static str, &'static str)| {
        let mut all = all.to_vec();
        all.retain(|(known, _)| *known != key);
        all.push((key, value));
        all
    };
    let others = [
        changed((aws::ROLE_ANNOTATION, "arn:aws:iam::1:role/other")),
        changed((azure::TENANT_ANNOTATION, "other")),
        changed((azure::CLIENT_ANNOTATION, "other")),
        changed((
            gcp::PROVIDER_ANNOTATION,
            "projects/2/locations/global/workloadIdentityPools/p/providers/q",
        )),
        changed((AUDIENCES, "a")),
    ];
    for target in [AWS, AZURE, Target::Gcp] {
        assert!(is_asked(&kept, &all, target).await);
        assert!(!is_asked(&kept, &all, target).await);
        assert!(!is_asked(&kept, &changed(("example.org/note", "x")), target).await);
    }
    for other in &others[..] {
        let target = match other.last().unwrap().0 {
            aws::ROLE_ANNOTATION | AUDIENCES => AWS,
            gcp::PROVIDER_ANNOTATION => Target::Gcp,
            _ => AZURE,
        };
        assert!(is_asked(&kept, other, target).await, "{other:?}");
    }
    assert!(is_asked(&kept, &all, Target::Aws { region: "eu-west-2", sts: None }).await);
    assert!(is_asked(&kept, &all, Target::Azure { scope: "https://other/.default" }).await);
}

#[tokio::test]
async fn what_is_wrong_with_an_account_is_told_as_by_flux() {
    let annotations = "failed to get provider identity from service account 'ns/me' annotations";
    for (given, target, text) in [
        (
            &[][..],
            AWS,
            format!("{annotations}: invalid eks.amazonaws.com/role-arn annotation: ''. must match {}", aws::ROLE_PATTERN),
        ),
        (
            &[CLIENT],
            AZURE,
            format!(
                "{annotations}: azure tenant ID is not set in the service account annotation azure.workload.identity/tenant-id"
            ),
        ),
        (
            &[TENANT, (azure::CLIENT_ANNOTATION, "")],
            AZURE,
            format!(
                "{annotations}: azure client ID is not set in the service account annotation azure.workload.identity/client-id"
            ),
        ),
        (
            &[(AUDIENCES, "a")],
            Target::Gcp,
            "cannot specify custom audiences for GKE workload identity".to_owned(),
        ),
        (
            &[CLIENT, (azure::TENANT_ANNOTATION, "nobody")],
            AZURE,
            "failed to create provider access credential for service account 'ns/me': failed to get a token from Microsoft Entra: 404 Not Found: {}".to_owned(),
        ),
    ] {
        let server = server(given).await;
        let clouds = clouds(&server, tokens());
        let error = clouds.token(&account(&clouds).await, target, &OPTIONS).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}

//! Google Cloud against servers that check what they are asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, SystemTime};

use auth::gcp::{GkeCluster, ServiceAccountKey, WorkloadIdentity, controller_token, workload_token};
use serde_json::{Value, json};
use support::{RsaKey, Server, environment, fields, http, opaque, useless};

const ANSWER: &str = r#"{"access_token": "ya29.secret", "expires_in": 3599, "token_type": "Bearer"}"#;

fn key_file(key: &RsaKey, server: &Server) -> String {
    let file = json!({
        "type": "service_account",
        "client_email": "me@project.iam.gserviceaccount.com",
        "private_key_id": "key-1",
        "private_key": key.pem(),
        "token_uri": format!("{}/token", server.url),
    });
    file.to_string()
}

#[tokio::test]
async fn a_service_account_proves_itself_with_its_key() {
    let (server, key) = (Server::saying(200, ANSWER), RsaKey::generate());
    let account = ServiceAccountKey::parse(&key_file(&key, &server)).unwrap();
    let token = account.token(&["scope-1", "scope-2"], &http()).await.unwrap();
    assert_eq!(opaque(&token), "ya29.secret");
    let life = token.expires().duration_since(SystemTime::now()).unwrap();
    assert!(life > Duration::from_secs(3500) && life <= Duration::from_secs(3599), "{life:?}");
    let request = &server.asked()[0];
    assert_eq!(request.line, "POST /token");
    let form = fields(&request.body);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (header, claims) = key.verify(&form["assertion"]);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    assert_eq!(claims["iss"], "me@project.iam.gserviceaccount.com");
    assert_eq!(claims["scope"], "scope-1 scope-2");
    assert_eq!(claims["aud"], format!("{}/token", server.url));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert!(!format!("{account:?}").contains("PRIVATE"));
    let nameless = key_file(&key, &server).replace("private_key_id", "other");
    ServiceAccountKey::parse(&nameless).unwrap().token(&["s"], &http()).await.unwrap();
    let (header, _) = key.verify(&fields(&server.asked()[1].body)["assertion"]);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
}

#[tokio::test]
async fn a_token_of_a_service_account_of_kubernetes_is_exchanged() {
    let server = Server::start(|request| {
        Some(match request.line.as_str() {
            "POST /v1/token" => (200, ANSWER.to_owned()),
            "POST /v1/projects/-/serviceAccounts/me%40project.iam.gserviceaccount.com:generateAccessToken" => {
                (200, r#"{"accessToken": "ya29.me", "expireTime": "2030-01-02T03:04:05Z"}"#.to_owned())
            }
            other => (404, other.to_owned()),
        })
    });
    let env = environment(&[
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", server.url.as_str()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", &format!("{}/", server.url)),
    ]);
    let provider = "projects/1/locations/global/workloadIdentityPools/pool/providers/p";
    let direct =
        WorkloadIdentity::of_annotations(|name| name.starts_with("gcp.").then_some(provider)).unwrap();
    assert_eq!(direct.token_audience(None), format!("//iam.googleapis.com/{provider}"));
    let token = workload_token(&direct, None, "a.jwt", &env, &http()).await.unwrap();
    assert_eq!(opaque(&token), "ya29.secret");
    let acting = WorkloadIdentity::of_annotations(|name| {
        Some(if name.starts_with("gcp.") { provider } else { "me@project.iam.gserviceaccount.com" })
    });
    let token = workload_token(&acting.unwrap(), None, "a.jwt", &env, &http()).await.unwrap();
    assert_eq!(opaque(&token), "ya29.me");
    let [first, second, third] = &server.asked()[..] else { panic!("three requests") };
    let form = fields(&first.body);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(form["audience"], format!("//iam.googleapis.com/{provider}"));
    assert_eq!(form["subject_token"], "a.jwt");
    assert_eq!(form["subject_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(form["requested_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert!(form["scope"].ends_with(" https://www.googleapis.com/auth/userinfo.email"), "{}", form["scope"]);
    assert_eq!(fields(&second.body)["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(third.header("authorization"), "Bearer ya29.secret");
    let body: Value = serde_json::from_str(&third.body).unwrap();
    assert_eq!(body["lifetime"], "3600s");
}

#[test]
fn annotations_that_name_nobody_are_refused() {
    let error = |name: &str, value: &'static str| {
        let identity = WorkloadIdentity::of_annotations(|asked| (asked == name).then_some(value));
        identity.unwrap_err().to_string()
    };
    assert_eq!(
        error("iam.gke.io/gcp-service-account", "me@evil.example"),
        "invalid iam.gke.io/gcp-service-account annotation: 'me@evil.example'. must match \
         ^[a-zA-Z0-9-]{1,100}@[a-zA-Z0-9-]{1,100}\\.iam\\.gserviceaccount\\.com$"
    );
    for value in ["projects/x/locations/global/workloadIdentityPools/a/providers/b", "a", "//a"] {
        let text = error("gcp.auth.fluxcd.io/workload-identity-provider", value);
        assert!(text.contains(&format!("annotation: '{value}'. must match ^projects/")), "{text}");
    }
    let empty = WorkloadIdentity::of_annotations(|_| Some("")).unwrap();
    assert!(empty.needs_cluster());
}

#[tokio::test]
async fn in_gke_the_cluster_is_told_by_the_metadata_service() {
    let server = Server::start(|request| {
        assert_eq!(request.header("metadata-flavor"), "Google");
        Some(match request.line.strip_prefix("GET /computeMetadata/v1/").unwrap() {
            "project/project-id" => (200, "project\n".to_owned()),
            "instance/attributes/cluster-location" => (200, "europe-west1".to_owned()),
            "instance/attributes/cluster-name" => (200, "main".to_owned()),
            path if path.starts_with("instance/service-accounts/default/token?scopes=https") => {
                (200, ANSWER.to_owned())
            }
            other => (404, other.to_owned()),
        })
    });
    let env = environment(&[("GCE_METADATA_HOST", server.url.trim_start_matches("http://"))]);
    let cluster = GkeCluster::of_metadata(&env, &http()).await.unwrap();
    let identity = WorkloadIdentity::default();
    assert_eq!(identity.token_audience(Some(&cluster)), "project.svc.id.goog");
    assert_eq!(
        cluster.audience(),
        "identitynamespace:project.svc.id.goog:https://container.googleapis.com/v1/projects/project/locations/europe-west1/clusters/main"
    );
    assert_eq!(opaque(&controller_token(&env, &http()).await.unwrap()), "ya29.secret");
    let empty = Server::saying(200, " \n");
    let env = environment(&[("GCE_METADATA_HOST", empty.url.trim_start_matches("http://"))]);
    let text = GkeCluster::of_metadata(&env, &http()).await.unwrap_err().to_string();
    assert!(text.starts_with("failed to get GKE cluster project ID from the metadata service: "), "{text}");
}

#[tokio::test]
async fn the_controller_uses_the_file_that_the_platform_names() {
    let (server, key) = (Server::saying(200, ANSWER), RsaKey::generate());
    let folder = tempfile::tempdir().unwrap();
    let [file, subject] = ["file", "subject"].map(|name| folder.path().join(name));
    let env = environment(&[("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())]);
    std::fs::write(&file, key_file(&key, &server)).unwrap();
    assert_eq!(opaque(&controller_token(&env, &http()).await.unwrap()), "ya29.secret");
    let external = |format: Value| {
        json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/p",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/sts", server.url),
            "credential_source": {"file": subject, "format": format},
        })
    };
    for (format, content) in [
        (json!({"type": "text"}), "of.pod\n"),
        (json!({"type": "json", "subject_token_field_name": "t"}), r#"{"t": "of.pod"}"#),
    ] {
        std::fs::write(&file, external(format).to_string()).unwrap();
        std::fs::write(&subject, content).unwrap();
        assert_eq!(opaque(&controller_token(&env, &http()).await.unwrap()), "ya29.secret");
        let last = server.asked().pop().unwrap();
        assert_eq!(last.line, "POST /sts");
        assert_eq!(fields(&last.body)["subject_token"], "of.pod");
    }
    for (content, text) in [
        (json!({"type": "authorized_user"}).to_string(), "type 'authorized_user' is not supported"),
        ("{\"type\": \"secret".to_owned(), "line 1, column 16"),
    ] {
        std::fs::write(&file, content).unwrap();
        let error = controller_token(&env, &http()).await.unwrap_err().to_string();
        assert_eq!(error, format!("invalid Google credentials: {text}"));
    }
}

#[tokio::test]
async fn credentials_that_would_read_files_of_this_process_are_refused_in_secrets() {
    let external = json!({"type": "external_account", "credential_source": {"file": "/etc/passwd"}});
    let error = ServiceAccountKey::parse(&external.to_string()).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid Google credentials: type 'external_account' is not supported, only 'service_account'"
    );
    let key = RsaKey::generate();
    for (server, expected) in useless() {
        let account = ServiceAccountKey::parse(&key_file(&key, &server)).unwrap();
        let text = account.token(&["s"], &http()).await.unwrap_err().to_string();
        let prefix = "failed to get a token of the Google service account: ";
        assert!(text.starts_with(&format!("{prefix}{expected}")), "{text}");
    }
}

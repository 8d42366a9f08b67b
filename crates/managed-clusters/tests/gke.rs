//! GKE against a server that checks what it is asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../auth/tests/support/mod.rs"]
mod support;

use std::time::SystemTime;

use auth::{AccessToken, Environment, Secret};
use managed_clusters::gke::access;
use managed_clusters::{Owner, Settings};
use support::{Server, environment, http, useless};

const ID: &str = "projects/p/locations/europe-west1/clusters/main";
/// `of cloud`
const ANSWER: &str = r#"{
    "endpoint": "203.0.113.9",
    "masterAuth": {"clusterCaCertificate": "b2YgY2xvdWQ="},
    "privateClusterConfig": {"privateEndpoint": "10.0.0.2", "publicEndpoint": "203.0.113.9"},
    "controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"endpoint": "gke-1.gke.goog"}}
}"#;

fn token() -> AccessToken {
    AccessToken::Opaque { token: Secret::new("ya29"), expires: SystemTime::UNIX_EPOCH }
}

fn gke() -> (Server, Environment) {
    let server = Server::start(|request| {
        let right = request.header("authorization") == "Bearer ya29"
            && request.line == "GET /v1/projects/p/locations/europe-west1/clusters/main";
        Some(if right { (200, ANSWER.to_owned()) } else { (403, request.line.clone()) })
    });
    let env = environment(&[("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", &server.url)]);
    (server, env)
}

fn settings(address: Option<&str>) -> Settings {
    Settings { cluster: ID.into(), address: address.map(str::to_owned), ca: None }
}

#[tokio::test]
async fn a_cluster_of_gke_is_described_and_takes_access_tokens() {
    let (server, env) = gke();
    for (address, expected) in [
        (None, "https://203.0.113.9:443"),
        (Some("10.0.0.2"), "https://10.0.0.2:443"),
        (Some("https://gke-1.gke.goog"), "https://gke-1.gke.goog:443"),
    ] {
        let access = access(&settings(address), &token(), Owner::Controller, &env, &http()).await.unwrap();
        assert_eq!((access.address.as_str(), access.ca.as_slice()), (expected, &b"of cloud"[..]));
        assert_eq!((access.token.expose(), access.expires), ("ya29", SystemTime::UNIX_EPOCH));
    }
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn the_controllers_token_goes_to_no_address_that_a_tenant_chose() {
    let (server, env) = gke();
    let evil = Settings { ca: Some("PEM".into()), ..settings(Some("evil.example")) };
    let error = access(&evil, &token(), Owner::Controller, &env, &http()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "the address 'https://evil.example:443' is not one of cluster '{ID}': the identity of the controller is used for the addresses of the cluster alone, name a service account to use another one"
        )
    );
    assert_eq!(server.asked().len(), 1);
    let own = access(&evil, &token(), Owner::Tenant, &env, &http()).await.unwrap();
    assert_eq!(own.address, "https://evil.example:443");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_is_no_cluster_of_gke_is_named() {
    let (server, env) = gke();
    for id in ["", "main", "projects/p/locations/l/clusters/", "projects/../locations/l/clusters/a", "/v1/x"]
    {
        // It is looked at where it is not needed, too; without one there is nothing to look at.
        let given = (!id.is_empty()).then(|| "a.example".to_owned());
        let settings = Settings { cluster: id.into(), address: given.clone(), ca: given };
        let error = access(&settings, &token(), Owner::Tenant, &env, &http()).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "invalid GKE cluster ID: '{id}'. must match ^projects/[^/]{{1,200}}/locations/[^/]{{1,200}}/clusters/[^/]{{1,200}}$"
            )
        );
    }
    assert!(server.asked().is_empty());
    let odd = Settings { cluster: format!("{ID}?x#y"), ..Settings::default() };
    access(&odd, &token(), Owner::Tenant, &env, &http()).await.unwrap_err();
    assert_eq!(server.asked()[0].line, "GET /v1/projects/p/locations/europe-west1/clusters/main%3Fx%23y");
    for (server, expected) in useless() {
        let env = environment(&[("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", &server.url)]);
        let error =
            access(&settings(None), &token(), Owner::Tenant, &env, &http()).await.unwrap_err().to_string();
        // An answer of JSON has no certificates at least.
        let named = error.starts_with(&format!("failed to describe GKE cluster '{ID}': {expected}"));
        assert!(named, "{error}");
    }
    let empty = Server::saying(200, "{}");
    let env = environment(&[("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", &empty.url)]);
    let error =
        access(&settings(None), &token(), Owner::Tenant, &env, &http()).await.unwrap_err().to_string();
    assert_eq!(error, "empty address");
}

//! AKS against a server that checks what it is asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../auth/tests/support/mod.rs"]
mod support;

use std::time::SystemTime;

use auth::{AccessToken, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use managed_clusters::aks::{AksError, ResourceManager, Tokens, access, needs_manager};
use managed_clusters::{Access, Owner, Settings};
use serde_json::json;
use support::{Server, environment, http, useless};

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/main";

fn token(text: &str) -> AccessToken {
    AccessToken::Opaque { token: Secret::new(text), expires: SystemTime::UNIX_EPOCH }
}

fn kubeconfig(host: &str) -> String {
    // The first cluster is not that of the current context.
    let yaml = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: admin\nclusters:\n- name: other\n  cluster: {{server: https://other}}\n\
         - name: main\n  cluster:\n    server: https://{host}:443\n    certificate-authority-data: b2YgY2xvdWQ=\n\
         contexts:\n- name: admin\n  context: {{cluster: main, user: u}}\nusers:\n- name: u\n  user: {{exec: {{command: kubelogin}}}}\n"
    );
    STANDARD.encode(yaml)
}

fn aks(hosts: &[&str], entra: bool) -> Server {
    let listed: Vec<_> =
        hosts.iter().map(|host| json!({"name": "clusterUser", "value": kubeconfig(host)})).collect();
    let profile = if entra { json!({"managed": true}) } else { json!(null) };
    Server::start(move |request| {
        let right = request.header("authorization") == "Bearer arm";
        Some(match request.line.split_once('?').unwrap() {
            (line, "api-version=2024-05-01") if right && line == format!("GET {ID}") => {
                (200, json!({"properties": {"aadProfile": profile}}).to_string())
            }
            (line, "api-version=2024-05-01")
                if right && line == format!("POST {ID}/listClusterUserCredential") =>
            {
                assert_eq!(request.header("content-length"), "0");
                (200, json!({"kubeconfigs": listed}).to_string())
            }
            _ => (403, request.line.clone()),
        })
    })
}

async fn manager(server: &Server) -> ResourceManager {
    let file = tempfile::NamedTempFile::new().unwrap();
    let cloud = json!({"resourceManagerEndpoint": server.url, "tokenAudience": "https://management.example"});
    std::fs::write(&file, cloud.to_string()).unwrap();
    let env = environment(&[("AZURE_ENVIRONMENT_FILEPATH", file.path().to_str().unwrap())]);
    ResourceManager::of(&env).await.unwrap()
}

fn settings(address: Option<&str>) -> Settings {
    Settings { cluster: ID.into(), address: address.map(str::to_owned), ca: None }
}

async fn enter(server: &Server, settings: &Settings, owner: Owner) -> Result<Access, AksError> {
    let (cluster, arm) = (token("aks"), token("arm"));
    let arm = needs_manager(settings, owner).then_some(&arm);
    access(settings, Tokens { cluster: &cluster, manager: arm }, owner, &manager(server).await, &http()).await
}

#[tokio::test]
async fn a_cluster_of_aks_is_described_by_its_kubeconfigs() {
    let server = aks(&["a.hcp.azmk8s.io", "b.hcp.azmk8s.io"], true);
    for (address, expected) in
        [(None, "https://a.hcp.azmk8s.io:443"), (Some("B.hcp.azmk8s.io"), "https://b.hcp.azmk8s.io:443")]
    {
        for owner in [Owner::Controller, Owner::Tenant] {
            let access = enter(&server, &settings(address), owner).await.unwrap();
            assert_eq!((access.address.as_str(), access.ca.as_slice()), (expected, &b"of cloud"[..]));
            assert_eq!((access.token.expose(), access.expires), ("aks", SystemTime::UNIX_EPOCH));
        }
    }
    let given = Settings { ca: Some("PEM".into()), ..settings(Some("api.example/k8s")) };
    let before = server.asked().len();
    let own = enter(&server, &given, Owner::Tenant).await.unwrap();
    assert_eq!((own.address.as_str(), own.ca.as_slice()), ("https://api.example:443/k8s", &b"PEM"[..]));
    assert_eq!(server.asked().len(), before);
    let error = enter(&server, &given, Owner::Controller).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "no kubeconfig found for AKS cluster main matching the specified address 'api.example/k8s'. cluster addresses: ['https://a.hcp.azmk8s.io:443', 'https://b.hcp.azmk8s.io:443']"
    );
}

#[tokio::test]
async fn what_is_no_cluster_of_aks_is_named() {
    let error = async |server: &Server, settings: &Settings| {
        enter(server, settings, Owner::Tenant).await.unwrap_err().to_string()
    };
    let server = aks(&[], true);
    for id in [
        "",
        "main",
        &ID.replace("/rg/", "/../"),
        &ID.replace("ContainerService", "Compute"),
        &format!("{ID}/x"),
    ] {
        let settings = Settings { cluster: id.to_owned(), ..Settings::default() };
        let text = error(&server, &settings).await;
        assert!(
            text.starts_with(&format!("invalid AKS cluster ID: '{id}'. must match (?i)^/subscriptions/")),
            "{text}"
        );
    }
    assert!(server.asked().is_empty());
    assert_eq!(error(&server, &settings(None)).await, "no kubeconfig found for AKS cluster main");
    let text = error(&aks(&["a"], false), &settings(None)).await;
    assert!(
        text.starts_with("AKS cluster main does not have Microsoft Entra ID integration enabled. See docs"),
        "{text}"
    );
    let broken = Server::start(|request| {
        Some(match request.line.starts_with("GET ") {
            true => (200, json!({"properties": {"aadProfile": {}}}).to_string()),
            false => (200, json!({"kubeconfigs": [{"value": "s3cret"}]}).to_string()),
        })
    });
    assert_eq!(error(&broken, &settings(None)).await, "failed to parse kubeconfig[0]");
    for (server, expected) in useless() {
        let text = error(&server, &settings(None)).await;
        assert!(text.starts_with(&format!("failed to describe AKS cluster: {expected}")), "{text}");
    }
    let without = Tokens { cluster: &token("aks"), manager: None };
    let result = access(&settings(None), without, Owner::Tenant, &manager(&server).await, &http()).await;
    assert_eq!(result.unwrap_err().to_string(), "there is no token of Microsoft Entra");
}

#[tokio::test]
async fn the_resource_manager_is_that_of_the_cloud() {
    let scope = async |variables: &[(&str, &str)]| {
        ResourceManager::of(&environment(variables)).await.map(|manager| manager.scope())
    };
    for (authority, expected) in [
        ("", "https://management.core.windows.net//.default"),
        ("https://login.microsoftonline.com/", "https://management.core.windows.net//.default"),
        ("https://login.chinacloudapi.cn/", "https://management.core.chinacloudapi.cn//.default"),
        ("https://login.microsoftonline.us", "https://management.core.usgovcloudapi.net//.default"),
    ] {
        assert_eq!(scope(&[("AZURE_AUTHORITY_HOST", authority)]).await.unwrap(), expected);
    }
    assert_eq!(manager(&aks(&[], true)).await.scope(), "https://management.example/.default");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, r#"{"tokenAudience": "a"}"#).unwrap();
    let error = scope(&[("AZURE_ENVIRONMENT_FILEPATH", file.path().to_str().unwrap())]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "resourceManagerEndpoint and tokenAudience must be set in the environment file"
    );
}

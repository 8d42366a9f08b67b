//! Which keys are read, and what is said when they cannot be.
#![allow(clippy::unwrap_used)]

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

use api::LocalObjectReference;
use kube::client::Body;
use net::Deadline;
use serde_json::{Value, json};

use super::*;

/// An API server with these objects by path; whatever is asked for is taken down.
fn server(objects: &[(&str, Value)]) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = asked.clone();
    let objects: Vec<_> = objects.iter().map(|(path, object)| ((*path).to_owned(), object.clone())).collect();
    let server = tower::service_fn(move |request: http::Request<Body>| {
        let path = request.uri().path().trim_start_matches("/api/v1/namespaces/").to_owned();
        let (kind, name) = path.rsplit_once('/').unwrap();
        let kind = kind.rsplit('/').next().unwrap();
        let (code, answer) = match objects.iter().find(|(known, _)| *known == path) {
            Some((_, object)) if object.is_number() => (object.as_u64().unwrap(), json!("no")),
            Some((_, object)) => (200, object.clone()),
            None => (404, json!(format!("{kind} \"{name}\" not found"))),
        };
        let body = match code {
            200 => answer,
            code => {
                json!({"kind": "Status", "status": "Failure", "message": answer, "reason": "R", "code": code})
            }
        };
        paths.lock().unwrap().push(path);
        let response = http::Response::builder().status(u16::try_from(code).unwrap());
        async move { response.body(Body::from(body.to_string().into_bytes())) }
    });
    (Client::new(server, "default"), asked)
}

fn secret(data: &[(&str, &str)]) -> Value {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let data: serde_json::Map<_, _> =
        data.iter().map(|(name, value)| ((*name).to_owned(), STANDARD.encode(value).into())).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data})
}

/// A Kustomization `ns/app`.
fn object(secret: Option<&str>, account: Option<&str>) -> Kustomization {
    let mut object = Kustomization::new("app", Default::default());
    object.metadata.namespace = Some("ns".into());
    object.spec.decryption = Some(kustomization::Decryption {
        provider: "sops".into(),
        secret_ref: secret.map(|name| LocalObjectReference { name: name.into() }),
        service_account_name: account.map(str::to_owned),
    });
    object
}

fn decryption(client: Client, age_secret: &str, default_account: Option<&str>) -> Decryption {
    let (age_secret, default_account) = (age_secret.to_owned(), default_account.map(str::to_owned));
    let reads = SharedReads::new(client.clone());
    Decryption { client, reads, namespace: "flux-system".into(), age_secret, default_account, clouds: None }
}

/// Names of the entries that count, and what was asked for.
async fn entries(
    object: &Kustomization,
    age_secret: &str,
    default_account: Option<&str>,
) -> (Vec<String>, Vec<String>) {
    let own = [
        ("a.agekey", "1"),
        ("b.asc", "2"),
        ("c.asc.txt", "3"),
        ("sops.vault-token", "4"),
        ("other.vault-token", "5"),
        ("sops.aws-kms", "6"),
        ("sops.azure-kv", "7"),
        ("sops.gcp-kms", "8"),
    ];
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    let (client, asked) = server(&[
        ("ns/secrets/own", secret(&own)),
        ("flux-system/secrets/shared", secret(&own)),
        ("ns/serviceaccounts/a", account),
    ]);
    let keys = decryption(client, age_secret, default_account).keys(object).await.unwrap();
    let entries = keys.iter().flat_map(Keys::entries).map(|(_, name, _)| name.to_owned()).collect();
    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    (entries, asked)
}

#[tokio::test]
async fn the_kustomizations_own_secret_beats_the_one_of_all() {
    let all = ["a.agekey", "b.asc", "sops.aws-kms", "sops.azure-kv", "sops.gcp-kms", "sops.vault-token"];
    for (own, shared, account, expected, asked) in [
        (Some("own"), "shared", None, &all[..], &["ns/secrets/own"][..]),
        (Some("own"), "", Some("a"), &all, &["ns/secrets/own", "ns/serviceaccounts/a"]),
        (None, "shared", None, &["a.agekey"], &["flux-system/secrets/shared"]),
        (None, "", None, &[], &[]),
    ] {
        let (entries, paths) = entries(&object(own, None), shared, account).await;
        assert_eq!(
            (&*entries, &*paths),
            (
                &*expected.iter().map(|t| t.to_string()).collect::<Vec<_>>(),
                &*asked.iter().map(|t| t.to_string()).collect::<Vec<_>>()
            )
        );
    }
}

#[tokio::test]
async fn without_decryption_and_with_another_provider_nothing_is_asked_for() {
    let mut other = object(Some("own"), Some("a"));
    other.spec.decryption.as_mut().unwrap().provider = "other".into();
    let mut none = other.clone();
    none.spec.decryption = None;
    for object in [other, none] {
        let (client, asked) = server(&[]);
        assert!(decryption(client, "shared", Some("b")).keys(&object).await.unwrap().is_none());
        assert!(asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_in_fluxs_words() {
    let half = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
        "name": "half", "annotations": {"credential.auth.fluxcd.io/provider": "kubernetes"}}});
    let objects = [
        ("ns/secrets/forbidden", json!(403)),
        ("ns/serviceaccounts/half", half),
        ("ns/serviceaccounts/no", json!(403)),
    ];
    for (object, shared, default_account, message) in [
        (object(Some("missing"), None), "", None, "secrets \"missing\" not found"),
        (object(Some("forbidden"), None), "", None, "cannot get sops decryption Secret 'ns/forbidden': no"),
        (
            object(Some("../../flux-system/secrets/s"), None),
            "",
            None,
            "cannot get sops decryption Secret 'ns/../../flux-system/secrets/s': invalid resource name \"../../flux-system/secrets/s\": may not contain '/'",
        ),
        (
            object(None, None),
            "missing",
            None,
            "cannot get sops SOPS age decryption Secret (--sops-age-secret): secrets \"missing\" not found",
        ),
        (
            object(None, Some("missing")),
            "",
            None,
            "failed to get decryption service account 'ns/missing': serviceaccounts \"missing\" not found",
        ),
        (object(None, None), "", Some("no"), "failed to get decryption service account 'ns/no': no"),
        (object(None, Some("")), "", Some("no"), "failed to get decryption service account 'ns/no': no"),
        (
            object(None, Some("half")),
            "",
            Some("no"),
            "failed to build decryption spec: the annotations credential.auth.fluxcd.io/provider and credential.auth.fluxcd.io/type must be set together",
        ),
    ] {
        let decryption = decryption(server(&objects).0, shared, default_account);
        assert_eq!(decryption.keys(&object).await.unwrap_err().to_string(), message);
    }
}

#[tokio::test]
async fn an_entry_of_no_use_is_named_with_its_secret_and_without_its_value() {
    let block = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nhunter2\n-----END PGP PRIVATE KEY BLOCK-----\n";
    for (entry, value, cause) in [
        ("a.agekey", "hunter2", "failed to parse and add to age identities: line 1: unknown identity type"),
        ("b.asc", "hunter2", "no armored OpenPGP private key found"),
        ("b.asc", block, "failed to read OpenPGP key: "),
        ("sops.azure-kv", "hunter2", "failed to unmarshal Azure authentication file: "),
        ("sops.azure-kv", "tenantId: hunter2", "invalid data: requires a 'clientId' field, "),
    ] {
        let (client, _) = server(&[("ns/secrets/own", secret(&[(entry, value)]))]);
        let keys = decryption(client, "", None).keys(&object(Some("own"), None)).await.unwrap().unwrap();
        let deadline = Deadline::new(Duration::from_secs(60));
        let error = KeyRing::new(&keys, &deadline).err().unwrap().to_string();
        let text = format!("failed to import '{entry}' data from sops decryption Secret 'ns/own': {cause}");
        assert!(error.starts_with(&text) && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn whoever_has_no_key_that_fits_learns_where_keys_were_looked_for() {
    let identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let objects = [("ns/secrets/own", secret(&[("a.agekey", identity), ("b.agekey", identity), ("c", "d")]))];
    let deadline = Deadline::new(Duration::from_secs(60));
    let keys = decryption(server(&objects).0, "", None).keys(&object(Some("own"), None)).await;
    assert_eq!(
        KeyRing::new(&keys.unwrap().unwrap(), &deadline).unwrap().tried(),
        "Keys of age and OpenPGP were looked for in decryption Secret 'ns/own' (*.agekey: 2, *.asc: 0)."
    );
    let keys = decryption(server(&[]).0, "", None).keys(&object(None, None)).await;
    assert_eq!(
        KeyRing::new(&keys.unwrap().unwrap(), &deadline).unwrap().tried(),
        "There are no keys of age and OpenPGP: neither spec.decryption.secretRef nor --sops-age-secret is set."
    );
}

#[tokio::test]
async fn keys_are_told_apart_by_what_counts_of_them() {
    let hash = async |data: &[(&str, &str)], account: Option<&str>| {
        let accounts = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
        let (client, _) = server(&[("ns/secrets/own", secret(data)), ("ns/serviceaccounts/a", accounts)]);
        let mut hasher = DefaultHasher::new();
        decryption(client, "", None).keys(&object(Some("own"), account)).await.unwrap().hash(&mut hasher);
        hasher.finish()
    };
    let first = hash(&[("a.agekey", "1")], None).await;
    assert_eq!(hash(&[("a.agekey", "1"), ("other", "x")], None).await, first);
    assert_ne!(hash(&[("a.agekey", "2")], None).await, first);
    assert_ne!(hash(&[("b.agekey", "1")], None).await, first);
    assert_ne!(hash(&[("a.agekey", "1")], Some("a")).await, first);
}

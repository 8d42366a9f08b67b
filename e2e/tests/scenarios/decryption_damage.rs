//! Encrypted files that were cut off or tampered with: nothing of them is applied, and the status says where the damage is.

use anyhow::{Context, Result, ensure};
use e2e::scenario::Scenario;
use e2e::sops::Key;

use crate::decryption::{DECRYPTION, value};

/// A folder, its files, and what is said of them.
type Case<'a> = (&'a str, Vec<(&'a str, String)>, &'a [&'a str]);

/// The document up to its metadata, as an upload that broke off leaves it.
fn cut(document: &str, metadata: &str) -> Result<String> {
    Ok(document.split_once(metadata).context("metadata of sops")?.0.to_owned())
}

/// The document with the cipher text of `name` exchanged for that of another value of the same length.
fn tampered(document: &str, name: &str) -> Result<String> {
    let start = document.find(name).context("the value")?;
    let data = start + document.get(start..).and_then(|rest| rest.find("data:")).context("cipher text")? + 5;
    let mut bytes = document.as_bytes().to_vec();
    bytes[data] = if bytes[data] == b'A' { b'B' } else { b'A' };
    Ok(String::from_utf8(bytes)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_refused_with_the_object_the_file_and_the_value() -> Result<()> {
    const NO_METADATA: &str = "it holds values that sops has encrypted, without the metadata to decrypt them";
    const CHANGED: &str = "message authentication failed";
    let key = Key::age();
    let manifest = key.manifest("secret", "hunter2")?;
    let env = key.encrypt("dotenv", &[], "USER=admin\nPASSWORD=hunter2\n")?;
    let json = key.encrypt("json", &[], r#"{"login": {"password": "hunter2"}}"#)?;
    let binary = key.encrypt("binary", &[], "hunter2")?;
    let generator = |what: &str| format!("secretGenerator:\n- name: secret\n  {what}\n");
    let cases: [Case<'_>; 8] = [
        ("manifest-cut", vec![("s.yaml", cut(&manifest, "sops:")?)], &["Secret", "'value'", NO_METADATA]),
        (
            "file-cut",
            vec![("kustomization.yaml", generator("files: [a.json]")), ("a.json", cut(&json, "\t\"sops\"")?)],
            &["'a.json'", NO_METADATA],
        ),
        (
            "binary-cut",
            vec![("kustomization.yaml", generator("files: [a.bin]")), ("a.bin", cut(&binary, ",iv:")?)],
            &["'a.bin'", NO_METADATA],
        ),
        (
            "env-cut",
            vec![("kustomization.yaml", generator("envs: [a.env]")), ("a.env", cut(&env, "sops_")?)],
            &["'PASSWORD'", NO_METADATA],
        ),
        (
            "metadata-cut",
            vec![
                ("kustomization.yaml", generator("files: [a.json]")),
                ("a.json", json[..json.len() - 3].to_owned()),
            ],
            &["a.json", "failed to load encrypted JSON data"],
        ),
        (
            "manifest-tampered",
            vec![("s.yaml", tampered(&manifest, "value:")?)],
            &["Secret.v1.[noGrp]/secret", "s.yaml", ".value'", CHANGED],
        ),
        (
            "file-tampered",
            vec![
                ("kustomization.yaml", generator("files: [a.json]")),
                ("a.json", tampered(&json, "password")?),
            ],
            &["a.json", "'login.password'", CHANGED],
        ),
        (
            "env-tampered",
            vec![("kustomization.yaml", generator("envs: [a.env]")), ("a.env", tampered(&env, "PASSWORD")?)],
            &["a.env", "'PASSWORD'", CHANGED],
        ),
    ];
    let test = Scenario::new("sops-damage").await?;
    test.objects.apply_one(&key.secret("keys"), &test.namespace).await?;
    for (name, files, _) in &cases {
        for (file, text) in files {
            test.repo.write(&format!("{name}/{file}"), text)?;
        }
    }
    test.repo.commit("damaged")?;
    test.apply_source().await?;
    for (name, _, words) in &cases {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), DECRYPTION)).await?;
        let failed =
            test.condition(&format!("Kustomization/{name}"), "Ready", "False", "BuildFailed", "").await?;
        println!("{name}: {}", failed.message);
        for part in *words {
            ensure!(failed.message.contains(part), "{name}: {part}: {}", failed.message);
        }
        ensure!(
            !failed.message.contains("ENC[") && !failed.message.contains("hunter2"),
            "{}",
            failed.message
        );
    }
    ensure!(
        test.kubectl(&["get", "secrets", "-o", "name", "--field-selector=metadata.name!=keys"])?.is_empty()
    );
    // Once it is whole, it is applied.
    test.repo.write("manifest-cut/s.yaml", &manifest)?;
    let commit = test.repo.commit("whole")?;
    test.request("GitRepository/app").await?;
    test.applied("Kustomization/manifest-cut", &commit).await?;
    ensure!(value(&test, "secret", "value").await? == "hunter2");
    test.finish().await
}

//! Each kind of key, alone and in groups.

use sops::Format;

use crate::tool::{Held, Key, TOOL, ours};

const PLAIN: &[u8] = b"a: hunter2\n";

/// What we make of a document with these private keys.
fn decrypt(encrypted: &[u8], keys: &[&Key]) -> Result<Vec<u8>, String> {
    ours(encrypted, Format::Yaml, &[Format::Yaml], &Held::of(keys)).and_then(|mut said| said.remove(0))
}

#[test]
fn each_kind_of_key_decrypts() {
    let tool = &*TOOL;
    let [curve25519, rsa, p256] = &tool.pgp;
    for key in [&tool.age[0], &tool.age_hybrid[0], &tool.ssh_ed25519, &tool.ssh_rsa, curve25519, rsa, p256] {
        for format in [Format::Yaml, Format::Json, Format::Dotenv, Format::Ini, Format::Binary] {
            let plain: &[u8] = match format {
                Format::Json => b"{\"a\": \"hunter2\"}",
                Format::Dotenv => b"a=hunter2\n",
                Format::Ini => b"[a]\nb = hunter2\n",
                _ => PLAIN,
            };
            let encrypted = tool
                .encrypt(format, &[key], &[], plain)
                .unwrap_or_else(|error| panic!("{}: {error}", key.name));
            let ours = ours(&encrypted, format, &[format], &Held::of(&[key]));
            let printed = String::from_utf8(
                ours.unwrap_or_else(|error| panic!("{}: {error}", key.name)).remove(0).unwrap(),
            )
            .unwrap();
            assert!(printed.contains("hunter2"), "{}: {printed}", key.name);
        }
    }
}

/// Of several keys each is enough.
#[test]
fn any_key_of_a_document_decrypts() {
    let tool = &*TOOL;
    let all = [&tool.age[0], &tool.age[1], &tool.ssh_ed25519, &tool.pgp[0], &tool.pgp[1]];
    let encrypted = tool.encrypt(Format::Yaml, &all, &[], PLAIN).unwrap();
    for key in all {
        assert_eq!(decrypt(&encrypted, &[key]).as_deref(), Ok(PLAIN), "{}", key.name);
    }
    let error = decrypt(&encrypted, &[&tool.pgp[2], &tool.ssh_rsa]).unwrap_err();
    for key in all {
        // The comment of an SSH key stands behind it.
        assert!(error.contains(&format!("  {}: FAILED\n", key.name)), "{error}");
    }
}

#[test]
fn hybrid_keys_of_others_do_not_fit() {
    let [key, stranger] = &TOOL.age_hybrid;
    let encrypted = TOOL.encrypt(Format::Yaml, &[key], &[], PLAIN).unwrap();
    let error = decrypt(&encrypted, &[stranger]).unwrap_err();
    let words: Vec<_> = error.split_whitespace().filter(|word| *word != "|").collect();
    assert!(
        words.join(" ").contains("identity did not match any of the recipients: incorrect identity"),
        "{error}"
    );
    assert_eq!(decrypt(&encrypted, &[stranger, key]).as_deref(), Ok(PLAIN));
}

/// Three groups, of which two are needed: age, OpenPGP, and both.
#[test]
fn shares_of_enough_groups_decrypt() {
    let tool = &*TOOL;
    let [first, second] = &tool.age;
    let [pgp, mixed, stranger] = &tool.pgp;
    let config = format!(
        "creation_rules:
  - shamir_threshold: 2
    key_groups:
      - age: [{}]
      - pgp: [{}]
      - age: [{}]
        pgp: [{}]
",
        first.name, pgp.name, second.name, mixed.name
    );
    let config = tool.write("groups.yaml", &config);
    let encrypted = tool
        .encrypt(Format::Yaml, &[], &["--config", &config, "--filename-override", "x.yaml"], PLAIN)
        .unwrap();
    assert_eq!(tool.decrypt(Format::Yaml, Format::Yaml, &encrypted).unwrap(), PLAIN);
    for enough in [
        vec![first, pgp],
        vec![first, second],
        vec![first, mixed],
        vec![pgp, mixed],
        vec![first, pgp, second, mixed, stranger],
    ] {
        let names: Vec<_> = enough.iter().map(|key| &key.name).collect();
        assert_eq!(decrypt(&encrypted, &enough).as_deref(), Ok(PLAIN), "{names:?}");
    }
    for few in [vec![], vec![first], vec![second, mixed], vec![stranger, pgp]] {
        let error = decrypt(&encrypted, &few).unwrap_err();
        let groups = usize::from(!few.is_empty());
        assert!(
            error.contains(&format!("a Shamir threshold of\n2, but only {groups} part(s) were")),
            "{error}"
        );
    }
}

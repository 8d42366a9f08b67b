//! Metadata: what is read, what is refused, and how the data key is found.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::cell::RefCell;

use sops::{DataKeyError, Document, Format, KeyBytes, KeyError, KeyType, Limits, MasterKey};
use support::{Service, parse};

fn refused(text: &str, format: Format) -> String {
    Document::parse(text.as_bytes(), format, &Limits::default()).unwrap_err().to_string()
}

#[test]
fn metadata_that_cannot_be_used_are_refused() {
    let yaml = |fields: &str| format!("a: b\nsops: {{lastmodified: '2026-01-02T03:04:05Z', {fields}}}\n");
    let keys = "age: [{recipient: age1x, enc: x}]";
    for (text, message) in [
        ("a: b\n".into(), "sops metadata not found"),
        ("a: b\nsops: text\n".into(), "Found sops entry that is not a mapping"),
        ("a: b\nsops: {}\n".into(), "sops metadata: 'lastmodified' is not a time in RFC 3339"),
        (yaml("mac: [x]"), "No keys found in file"),
        (yaml("age: []"), "No keys found in file"),
        (yaml("age: text"), "sops metadata: 'age' is not a list of mappings"),
        (yaml("age: [text]"), "sops metadata: 'age' is not a list of mappings"),
        (yaml("age: [{recipient: [x]}]"), "sops metadata: 'recipient' is not a text"),
        (yaml("kms: [{context: text}]"), "sops metadata: 'context' is not a mapping of texts"),
        (yaml(&format!("{keys}, mac: [x]")), "sops metadata: 'mac' is not a text"),
        (yaml(&format!("{keys}, shamir_threshold: -1")), "sops metadata: 'shamir_threshold' is not a number"),
        (
            yaml(&format!("{keys}, mac_only_encrypted: maybe")),
            "sops metadata: 'mac_only_encrypted' is not a boolean",
        ),
        (
            yaml(&format!("{keys}, encrypted_regex: a, unencrypted_suffix: b")),
            "Cannot use more than one of encrypted_suffix, unencrypted_suffix, encrypted_regex, unencrypted_regex, \
             encrypted_comment_regex, or unencrypted_comment_regex in the same file",
        ),
    ] {
        assert_eq!(refused(&text, Format::Yaml), message, "{text}");
    }
    for (regex, problem) in
        [("(", "unclosed group"), ("(a{1000}){1000}", "Compiled regex exceeds size limit of 1048576 bytes.")]
    {
        assert_eq!(
            refused(&yaml(&format!("{keys}, encrypted_regex: '{regex}'")), Format::Yaml),
            format!("sops metadata: 'encrypted_regex' is not a regular expression: {problem}")
        );
    }
    assert_eq!(refused("{\"sops\": {}, \"sops\": {}}", Format::Json), "Found duplicate sops entry");
    assert_eq!(refused("A=b\n", Format::Dotenv), "sops metadata not found");
    assert_eq!(refused("a = b\n", Format::Ini), "sops metadata not found");
}

#[test]
fn text_that_is_not_of_its_format_is_refused() {
    for (text, format, message) in [
        (
            "a: [",
            Format::Yaml,
            "Error unmarshaling input YAML: yaml: line 1: did not find expected node content",
        ),
        (
            "- a\n",
            Format::Yaml,
            "Error unmarshaling input YAML: line 1: YAML documents that are sequences are not supported",
        ),
        (
            "text\n",
            Format::Yaml,
            "Error unmarshaling input YAML: line 1: YAML documents that are values are not supported",
        ),
        (
            "a: 1\nb: 2\na: 3\n",
            Format::Yaml,
            "Error unmarshaling input YAML: line 3: mapping key already defined",
        ),
        (
            "1: a\n",
            Format::Yaml,
            "Error unmarshaling input YAML: line 1: Tree contains a non-string key. Only string keys are supported",
        ),
        (
            "a: 18446744073709551615\n",
            Format::Yaml,
            "Error unmarshaling input YAML: line 1: Cannot walk value, unknown type: uint64",
        ),
        ("a: &a [*a]\n", Format::Yaml, "Error unmarshaling input YAML: line 1: anchor value contains itself"),
        (
            "[1]",
            Format::Json,
            "Could not unmarshal input data: SOPS only supports JSON files with a top-level object (starting with '{'), not arrays or other types",
        ),
        ("{} {}", Format::Json, "Could not unmarshal input data: trailing characters at line 1 column 4"),
        (
            "{\"a\"",
            Format::Json,
            "Could not unmarshal input data: EOF while parsing an object at line 1 column 4",
        ),
        ("A=b\nhunter2\n", Format::Dotenv, "invalid dotenv input line 2"),
        ("[a\n", Format::Ini, "Could not unmarshal input data: line 1: unclosed section"),
        ("[]\n", Format::Ini, "Could not unmarshal input data: line 1: empty section name"),
        ("\nhunter2\n", Format::Ini, "Could not unmarshal input data: line 2: key-value delimiter not found"),
        ("= hunter2\n", Format::Ini, "Could not unmarshal input data: line 1: empty key name"),
        ("`a = hunter2\n", Format::Ini, "Could not unmarshal input data: line 1: missing closing key quote"),
        (
            "a = `hunter2\n\n",
            Format::Ini,
            "Could not unmarshal input data: line 2: missing closing quote of a value",
        ),
    ] {
        assert_eq!(refused(text, format), message, "{text}");
    }
    assert_eq!(
        Document::parse(b"A=\xff", Format::Dotenv, &Limits::default()).unwrap_err().to_string(),
        "not UTF-8"
    );
}

const GROUPS: &str = r#", "age": null, "shamir_threshold": 2, "key_groups": [
    {
        "kms": [{"arn": "arn:aws:kms:eu:1:key/a", "role": "r", "context": {"k": "v"}, "aws_profile": "p", "enc": "1"}],
        "gcp_kms": [{"resource_id": "projects/p", "enc": "2"}],
        "hckms": [{"key_id": "region:id", "enc": "3"}],
        "azure_kv": [{"vault_url": "https://v", "name": "n", "version": "1", "enc": "4"}],
        "hc_vault": [{"vault_address": "https://h", "engine_path": "transit", "key_name": "k", "enc": "5"}],
        "pgp": [{"fp": "FP", "enc": "6"}],
        "age": [{"recipient": "age1a", "enc": "7"}, {"recipient": "age1b", "enc": "8"}]
    },
    {"age": {"recipient": "age1c", "enc": "9"}},
    {"pgp": [{"fp": "FP2", "enc": "10"}]}
]"#;

#[test]
fn keys_of_all_kinds_are_read() {
    let document = parse(&support::document("\"a\": \"\"", GROUPS), Format::Json);
    let groups = document.metadata().groups();
    let names = |group: &[MasterKey]| {
        group
            .iter()
            .map(|key| format!("{} {} {}", key.wrapped(), key.key_type(), key.name()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&groups[0]),
        [
            "1 AWS KMS arn:aws:kms:eu:1:key/a+r",
            "2 Google Cloud KMS projects/p",
            "3 Huawei Cloud KMS region:id",
            "4 Azure Key Vault https://v/keys/n/1",
            "5 Vault https://h/v1/transit/keys/k",
            "6 OpenPGP FP",
            "7 age age1a",
            "8 age age1b",
        ]
    );
    assert_eq!(names(&groups[1]), ["9 age age1c"]);
    assert_eq!(names(&groups[2]), ["10 OpenPGP FP2"]);
    assert_eq!(document.metadata().shamir_threshold(), 2);
    let MasterKey::AwsKms { context, profile, .. } = &groups[0][0] else { panic!() };
    assert_eq!((context["k"].as_str(), profile.as_str()), ("v", "p"));
}

/// Age, OpenPGP, then the others; the first that fits ends the group.
#[test]
fn keys_of_a_group_are_tried_in_the_order_of_sops() {
    let tried = RefCell::new(Vec::new());
    let document = parse(&support::document("\"a\": \"\"", GROUPS), Format::Json);
    let service = Service(|key: &MasterKey| {
        tried.borrow_mut().push(key.wrapped().to_owned());
        match key.wrapped() {
            "3" => Ok(KeyBytes::new(vec![1, 1])),
            "9" => Ok(KeyBytes::new(vec![2, 2])),
            _ => Err(KeyError::new("no")),
        }
    });
    assert!(document.metadata().data_key(&service).is_ok());
    assert_eq!(*tried.borrow(), ["7", "8", "6", "1", "2", "3", "9", "10"]);
}

#[test]
fn a_missing_data_key_names_every_key_that_was_tried() {
    let document = parse(&support::document("\"a\": \"\"", GROUPS), Format::Json);
    let service = Service(|key: &MasterKey| match key.key_type() {
        KeyType::Age if key.wrapped() == "9" => Ok(KeyBytes::new(vec![2, 2])),
        KeyType::Age => Err(KeyError::new(
            "a reason that is so long that it has to be broken into two lines of the message",
        )),
        _ => Err(KeyError::new("no")),
    });
    let error = document.metadata().data_key(&service).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Failed to get the data key required to decrypt the SOPS file.

Group 0: FAILED
  age1a: FAILED
    - | a reason that is so long that it has to be broken into two
      | lines of the message

  age1b: FAILED
    - | a reason that is so long that it has to be broken into two
      | lines of the message

  FP: FAILED
    - | no

  arn:aws:kms:eu:1:key/a+r: FAILED
    - | no

  projects/p: FAILED
    - | no

  region:id: FAILED
    - | no

  https://v/keys/n/1: FAILED
    - | no

  https://h/v1/transit/keys/k: FAILED
    - | no

Group 1: SUCCESS

Group 2: FAILED
  FP2: FAILED
    - | no

Recovery failed because the file was encrypted with a Shamir threshold of
2, but only 1 part(s) were successfully recovered, one for each successful
key group. In order for SOPS to recover the file, at least 2 groups have to
be successful. In order for a group to be successful, decryption has to
succeed with any of the keys in that key group."
    );
    let single = parse(&support::document("\"a\": \"\"", ""), Format::Json);
    let error = single.metadata().data_key(&Service(|_: &MasterKey| Err(KeyError::new("no")))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Failed to get the data key required to decrypt the SOPS file.

Group 0: FAILED
  age1x: FAILED
    - | no

Recovery failed because no master key was able to decrypt the file. In
order for SOPS to recover the file, at least one key has to be successful,
but none were."
    );
}

#[test]
fn shares_that_do_not_fit_together_are_an_error() {
    let document = parse(&support::document("\"a\": \"\"", GROUPS), Format::Json);
    let same = Service(|_: &MasterKey| Ok(KeyBytes::new(vec![1, 1])));
    let error = document.metadata().data_key(&same).unwrap_err();
    assert!(matches!(error, DataKeyError::Combine(_)));
    assert_eq!(error.to_string(), "could not get data key from shamir parts: duplicate part detected");
}

#[test]
fn flat_metadata_have_texts_for_numbers_and_booleans() {
    let fields = "sops_lastmodified=2026-01-02T03:04:05Z\nsops_mac=ENC[\nsops_age__list_0__map_enc=a\\nb\n\
                  sops_age__list_0__map_recipient=age1x\nsops_shamir_threshold=2\nsops_mac_only_encrypted=true\n";
    let document = parse(&format!("A=\n{fields}"), Format::Dotenv);
    assert_eq!(document.metadata().shamir_threshold(), 2);
    assert!(document.metadata().mac_only_encrypted());
    assert_eq!(document.metadata().groups()[0][0].wrapped(), "a\nb");
    let ini = format!("[a]\nb =\n[sops]\n{}", fields.replace("sops_", ""));
    let document = parse(&ini, Format::Ini);
    assert_eq!(document.metadata().groups()[0][0].wrapped(), "a\nb");
    assert_eq!(document.metadata().last_modified(), "2026-01-02T03:04:05Z");
}

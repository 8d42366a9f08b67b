//! What is secret is shown nowhere.
#![allow(clippy::unwrap_used)]

mod support;

use sops::{AgeIdentities, DataKey, Format, KeyBytes, MacCheck, PgpKeys};
use support::{document, key, parse, seal};

#[test]
fn debug_shows_nothing_that_is_secret() {
    let text =
        document(&format!("\"a\": \"{}\", \"b_unencrypted\": \"hunter2\"", seal("hunter2", "str", "a:")), "");
    let encrypted = parse(&text, Format::Json);
    assert!(!format!("{encrypted:?}").contains("hunter2"));
    let plain = encrypted.decrypt(&key(), MacCheck::Ignore).unwrap();
    assert_eq!(format!("{plain:?}"), "***");
    assert_eq!(format!("{:?}", KeyBytes::new(b"hunter2".to_vec())), "***");
    assert_eq!(format!("{:?}", DataKey::new(KeyBytes::new(b"hunter2".to_vec()))), "***");
    assert_eq!(format!("{:?}", AgeIdentities::default()), "AgeIdentities { identities: 0, .. }");
    assert_eq!(format!("{:?}", PgpKeys::default()), "PgpKeys { keys: 0 }");
}

/// Neither what is left as it was nor what was decrypted is in a message about the same document.
#[test]
fn errors_show_no_text_of_the_document() {
    for content in [
        format!("\"a\": {{\"b\": \"{}\"}}, \"data\": 1", seal("hunter2", "str", "a:b:")),
        format!("\"data\": {{\"b\": \"{}\"}}", seal("hunter2", "str", "data:b:")),
    ] {
        let rule = r#", "unencrypted_regex": "^data$""#;
        let rule = if content.contains("\"a\"") { rule } else { "" };
        let plain = parse(&document(&content, rule), Format::Json).decrypt(&key(), MacCheck::Ignore).unwrap();
        for format in [Format::Binary, Format::Dotenv] {
            let error = plain.emit(format).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
    let float = format!("\"a\": \"{}\"", seal("inf", "float", "a:"));
    let plain = parse(&document(&float, ""), Format::Json).decrypt(&key(), MacCheck::Ignore).unwrap();
    assert_eq!(
        plain.emit(Format::Json).unwrap_err().to_string(),
        "Error marshaling to json: json: unsupported value"
    );
    // The MAC is a hash of what is secret.
    let wrong = document("\"a\": \"\"", "").replace(
        "\"mac\": \"\"",
        &format!("\"mac\": \"{}\"", seal("hunter2", "str", "2026-01-02T03:04:05Z")),
    );
    let error = parse(&wrong, Format::Json).decrypt(&key(), MacCheck::Verify).unwrap_err();
    assert_eq!(error.to_string(), "MAC mismatch");
}

//! Documents that the real program has encrypted, decrypted without it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use sops::{DecryptError, Document, Limits, MacCheck, MasterKey};
use support::{Fixture, fixture, fixtures};

fn read(fixture: &Fixture) -> Document {
    Document::parse(&fixture.encrypted, fixture.format, &Limits::default())
        .unwrap_or_else(|error| panic!("{}: {error}", fixture.name))
}

#[test]
fn documents_decrypt_to_the_bytes_that_sops_prints() {
    for fixture in fixtures() {
        let plain = read(&fixture)
            .decrypt(&fixture.key, MacCheck::Verify)
            .unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        let bytes = plain.emit(fixture.format).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&fixture.plain),
            "{}",
            fixture.name
        );
        assert_eq!(*bytes, fixture.plain, "{}", fixture.name);
    }
}

#[test]
fn documents_have_the_markers_of_their_formats() {
    for fixture in fixtures() {
        assert!(fixture.format.has_marker(&fixture.encrypted), "{}", fixture.name);
        assert!(!fixture.format.has_marker(&fixture.plain), "{}", fixture.name);
    }
}

#[test]
fn metadata_are_read_in_each_format() {
    for name in ["default.yaml", "default.json", "default.env", "default.ini", "default.bin"] {
        let document = read(&fixture(name));
        let metadata = document.metadata();
        assert_eq!(metadata.version(), "3.13.3", "{name}");
        assert_eq!(metadata.shamir_threshold(), 0, "{name}");
        assert!(metadata.last_modified().starts_with("2026-"), "{name}");
        let [group] = metadata.groups() else { panic!("{name}") };
        let [MasterKey::Age { recipient, wrapped }] = group.as_slice() else { panic!("{name}") };
        assert!(recipient.starts_with("age1"), "{name}: {recipient}");
        assert!(wrapped.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{name}: {wrapped}");
        assert!(wrapped.trim_end().ends_with("-----END AGE ENCRYPTED FILE-----"), "{name}: {wrapped}");
    }
}

/// A value that was never encrypted is changed, which only the MAC notices; in a document whose MAC leaves it out, nothing does.
#[test]
fn mac_notices_what_else_was_changed() {
    for (name, from, to, noticed) in [
        ("default.yaml", "shown_unencrypted: plain", "shown_unencrypted: other", true),
        ("encrypted_regex.yaml", "kind: Secret", "kind: Other", true),
        ("mac_only_encrypted.yaml", "kind: Secret", "kind: Other", false),
        ("default.json", "\"shown_unencrypted\": 1", "\"shown_unencrypted\": 2", true),
        ("default.env", "SHOWN_unencrypted=plain", "SHOWN_unencrypted=other", true),
        ("default.ini", "= plain", "= other", true),
    ] {
        let mut fixture = fixture(name);
        let text = String::from_utf8(fixture.encrypted).unwrap();
        assert!(text.contains(from), "{name}");
        fixture.encrypted = text.replace(from, to).into_bytes();
        let verified = read(&fixture).decrypt(&fixture.key, MacCheck::Verify).err();
        assert_eq!(verified, noticed.then_some(DecryptError::MacMismatch), "{name}");
        let ignored = read(&fixture).decrypt(&fixture.key, MacCheck::Ignore).unwrap();
        assert_ne!(*ignored.emit(fixture.format).unwrap(), fixture.plain, "{name}");
    }
}

#[test]
fn values_are_bound_to_their_place() {
    let mut fixture = fixture("default.yaml");
    let text = String::from_utf8(fixture.encrypted).unwrap();
    fixture.encrypted = text.replacen("    password: ", "    passwort: ", 1).into_bytes();
    let error = read(&fixture).decrypt(&fixture.key, MacCheck::Ignore).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not decrypt value at 'stringData.passwort': Could not decrypt with AES_GCM: cipher: message authentication failed"
    );
}

/// The metadata of later YAML documents are dropped, so those may be cut off.
#[test]
fn documents_that_end_early_pass_for_no_other() {
    for fixture in fixtures() {
        let length = fixture.encrypted.len();
        for cut in (1..40).map(|part| length * part / 40) {
            let document = Document::parse(&fixture.encrypted[..cut], fixture.format, &Limits::default());
            let plain =
                document.ok().and_then(|document| document.decrypt(&fixture.key, MacCheck::Verify).ok());
            if let Some(plain) = plain {
                assert_eq!(
                    *plain.emit(fixture.format).unwrap(),
                    fixture.plain,
                    "{}: {cut} bytes",
                    fixture.name
                );
            }
        }
    }
}

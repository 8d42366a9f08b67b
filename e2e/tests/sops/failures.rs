//! What cannot be decrypted: both refuse it, and users read the same.

use sops::Format;

use crate::tool::{Held, TOOL, ours};

/// A document for the first key, with one change.
fn changed(change: impl FnOnce(String) -> String) -> (Result<Vec<u8>, String>, Result<Vec<u8>, String>) {
    let tool = &*TOOL;
    let plain = b"a: hunter2\nlist: [1, 2]\nshown_unencrypted: text\n";
    let encrypted =
        String::from_utf8(tool.encrypt(Format::Yaml, &[&tool.age[0]], &[], plain).unwrap()).unwrap();
    let before = encrypted.clone();
    let encrypted = change(encrypted);
    assert_ne!(encrypted, before);
    let theirs = tool.decrypt(Format::Yaml, Format::Yaml, encrypted.as_bytes());
    let ours = ours(encrypted.as_bytes(), Format::Yaml, &[Format::Yaml], &Held::of(&[&tool.age[0]]));
    (theirs, ours.and_then(|mut said| said.remove(0)))
}

#[test]
fn changed_documents_are_refused_by_both() {
    let replace = |from: &'static str, to: &'static str| move |text: String| text.replacen(from, to, 1);
    let gcm = "Could not decrypt with AES_GCM: cipher: message authentication failed";
    type Change = Box<dyn FnOnce(String) -> String>;
    let cases: [(&str, Change, &str); 9] = [
        (
            "a value",
            Box::new(replace("data:", "data:AAAA")),
            &format!("could not decrypt value at 'a': {gcm}"),
        ),
        ("a name", Box::new(replace("a: ENC", "b: ENC")), &format!("could not decrypt value at 'b': {gcm}")),
        (
            "a type",
            Box::new(replace("type:str", "type:int")),
            "could not decrypt value at 'a': failed to convert the decrypted value to its data type: <redacted>",
        ),
        (
            "no longer encrypted",
            Box::new(replace("a: ENC", "a: hunter2 #")),
            "could not decrypt value at 'a': Input string <redacted> does not match sops' data format",
        ),
        (
            "left out",
            Box::new(|text| {
                text.lines().filter(|line| !line.starts_with("a: ")).map(|line| format!("{line}\n")).collect()
            }),
            "MAC mismatch",
        ),
        (
            "what is shown",
            Box::new(replace("shown_unencrypted: text", "shown_unencrypted: other")),
            "MAC mismatch",
        ),
        (
            "the time",
            Box::new(replace("lastmodified: \"2", "lastmodified: \"1")),
            &format!("Cannot decrypt MAC: {gcm}"),
        ),
        ("no metadata", Box::new(replace("\nsops:", "\nother:")), "sops metadata not found"),
        ("no keys", Box::new(replace("    age:", "    other:")), "No keys found in file"),
    ];
    for (what, change, message) in cases {
        let (theirs, ours) = changed(change);
        assert_eq!(ours, Err(message.to_owned()), "{what}");
        assert!(theirs.is_err(), "{what}");
    }
}

#[test]
fn documents_that_end_early_are_refused_by_both() {
    for part in 1..10 {
        let (theirs, ours) = changed(|text| text.chars().take(text.len() * part / 10).collect());
        assert!(ours.is_err() && theirs.is_err(), "{part}: {ours:?} {theirs:?}");
    }
}

/// The message is the program's own, but for the places where it has looked for keys.
#[test]
fn message_about_keys_is_that_of_the_program() {
    let tool = &*TOOL;
    let stranger = age::x25519::Identity::generate().to_public().to_string();
    let encrypted = tool
        .run(&["--encrypt", "--input-type", "yaml", "--output-type", "yaml", "--age", &stranger], b"a: b\n")
        .unwrap();
    let words = |text: &str| {
        let words: Vec<_> = text.split_whitespace().filter(|word| *word != "|").map(str::to_owned).collect();
        words.join(" ")
    };
    let theirs = words(&tool.decrypt(Format::Yaml, Format::Yaml, &encrypted).unwrap_err());
    let places = theirs.find(". Did not find keys in location").unwrap();
    let end = theirs.find(" Recovery failed").unwrap();
    let theirs = format!("{}{}", &theirs[..places], &theirs[end..]);
    // It has these identities, too.
    let held = Held::of(&[&tool.age[0], &tool.age[1], &tool.ssh_ed25519]);
    assert_eq!(words(&ours(&encrypted, Format::Yaml, &[], &held).unwrap_err()), theirs);
}

/// Keys of clouds are for others to unwrap; each is named.
#[test]
fn keys_that_are_not_at_hand_are_named() {
    let (_, ours) = changed(|text| {
        let (before, rest) = text.split_once("    age:\n").unwrap();
        let (_, after) = rest.split_once("    lastmodified:").unwrap();
        format!(
            "{before}    kms:\n        - arn: arn:aws:kms:eu-west-1:1:key/a\n          enc: x\n    gcp_kms:\n        - resource_id: projects/p\n          enc: x\n    lastmodified:{after}"
        )
    });
    assert_eq!(
        ours.unwrap_err(),
        "Failed to get the data key required to decrypt the SOPS file.

Group 0: FAILED
  arn:aws:kms:eu-west-1:1:key/a: FAILED
    - | not at hand

  projects/p: FAILED
    - | not at hand

Recovery failed because no master key was able to decrypt the file. In
order for SOPS to recover the file, at least one key has to be successful,
but none were."
    );
}

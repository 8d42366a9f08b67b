//! Single values and the rules which of them are encrypted, in documents that are made here.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use sops::{Document, Format, Limits, MacCheck};
use support::{decrypt, document, key, metadata, parse, seal, text};

#[test]
fn values_have_the_types_that_they_had() {
    for (plain, kind, value) in [
        ("text", "str", "\"text\""),
        ("<é>", "str", "\"\\u003cé\\u003e\""),
        ("12", "int", "12"),
        ("-9223372036854775808", "int", "-9223372036854775808"),
        ("+5", "int", "5"),
        ("1.5", "float", "1.5"),
        ("3", "float", "3"),
        ("1000000000000000000000", "float", "1e+21"),
        ("True", "bool", "true"),
        ("f", "bool", "false"),
        ("2026-01-02T03:04:05.10Z", "time", "\"2026-01-02T03:04:05.1Z\""),
        ("ab", "bytes", "\"YWI=\""),
    ] {
        let content = format!("\"a\": \"{}\"", seal(plain, kind, "a:"));
        assert_eq!(decrypt(&content, "").unwrap(), format!("{{\n\t\"a\": {value}\n}}\n"), "{kind} {plain}");
    }
}

/// Whatever went wrong, the message shows neither the plaintext nor what was encrypted.
#[test]
fn errors_of_values_show_no_value() {
    let reason = |value: &str| decrypt(&format!("\"a\": {{\"b\": {value}}}"), "").unwrap_err();
    let sealed = |plain: &str, kind: &str| format!("\"{}\"", seal(plain, kind, "a:b:"));
    let convert = "failed to convert the decrypted value to its data type: <redacted>";
    let format = "Input string <redacted> does not match sops' data format";
    let authentication = "Could not decrypt with AES_GCM: cipher: message authentication failed";
    for (value, why) in [
        (sealed("hunter2", "int"), convert),
        (sealed("9223372036854775808", "int"), convert),
        (sealed("hunter2", "float"), convert),
        (sealed("1e999", "float"), convert),
        (sealed("hunter2", "bool"), convert),
        (sealed("hunter2", "time"), convert),
        (sealed("hunter2", "hunter2"), "Unknown datatype"),
        (sealed("hunter2", "comment"), "a comment in place of a value"),
        ("\"hunter2\"".into(), format),
        ("\"ENC[AES256_GCM,data:hunter2]\"".into(), format),
        ("\"ENC[AES256_GCM,data:%,iv:AA==,tag:AA==,type:str]\"".into(), "Error base64-decoding data"),
        ("\"ENC[AES256_GCM,data:AA==,iv:%,tag:AA==,type:str]\"".into(), "Error base64-decoding iv"),
        ("\"ENC[AES256_GCM,data:AA==,iv:AA==,tag:%,type:str]\"".into(), "Error base64-decoding tag"),
        ("\"ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\"".into(), "iv is not 32 bytes long"),
        (format!("\"{}\"", seal("hunter2", "str", "b:")), authentication),
        (format!("\"{}\"", seal("hunter2", "str", "a:b:").replace("tag:", "tag:AAAA")), authentication),
        ("12".into(), "Expected encrypted value as string, but got int"),
        ("[true]".into(), "Expected encrypted value as string, but got bool"),
    ] {
        assert_eq!(reason(&value), format!("could not decrypt value at 'a.b': {why}"), "{value}");
    }
}

#[test]
fn rules_decide_what_is_encrypted() {
    // Each of the four is either encrypted, or stays as it is.
    let names = ["one", "two_unencrypted", "three", "secret"];
    for (rule, encrypted) in [
        ("", [true, false, true, true]),
        (r#", "unencrypted_suffix": "t""#, [true, true, true, false]),
        (r#", "encrypted_suffix": "t""#, [false, false, false, true]),
        (r#", "unencrypted_regex": "^t""#, [true, false, false, true]),
        (r#", "encrypted_regex": "e|o""#, [true, true, true, true]),
        (r#", "encrypted_regex": "^(one|secret)$""#, [true, false, false, true]),
        (r#", "encrypted_regex": "above""#, [true, true, true, true]),
        (r#", "unencrypted_regex": "above""#, [false, false, false, false]),
        (r#", "encrypted_comment_regex": "x""#, [false, false, false, false]),
        (r#", "unencrypted_comment_regex": "x""#, [true, true, true, true]),
    ] {
        let fields = names.iter().zip(encrypted).map(|(name, encrypted)| {
            let value =
                if encrypted { seal("value", "str", &format!("above:{name}:")) } else { "value".into() };
            format!("\"{name}\": [\"{value}\"]")
        });
        let fields: Vec<_> = fields.collect();
        let plain = decrypt(&format!("\"above\": {{{}}}", fields.join(", ")), rule);
        let plain: serde_json::Value =
            serde_json::from_str(&plain.unwrap_or_else(|error| panic!("{rule}: {error}"))).unwrap();
        for name in names {
            assert_eq!(plain.pointer(&format!("/above/{name}")), Some(&json!(["value"])), "{rule}: {name}");
        }
    }
}

/// Comments of YAML: one that was encrypted is decrypted, one that cannot be is left alone, and rules see them as they stand there.
#[test]
fn comments_are_decrypted_and_obeyed() {
    let yaml = |body: &str, fields: &str| {
        let plain = parse(&format!("{body}\nsops: {}\n", metadata(fields)), Format::Yaml)
            .decrypt(&key(), MacCheck::Ignore);
        plain.map(|plain| text(&plain, Format::Yaml)).map_err(|error| error.to_string())
    };
    let (comment, value) = (seal(" hidden", "comment", "a:"), seal("value", "str", "a:b:"));
    assert_eq!(
        yaml(&format!("a:\n    #{comment}\n    # open\n    b: {value} #{comment}\n"), "").unwrap(),
        "a:\n    # hidden\n    # open\n    # hidden\n    b: value\n"
    );
    let rule = r#", "encrypted_comment_regex": "enc$""#;
    assert_eq!(
        yaml(&format!("# enc\na:\n    b: {value}\nc: plain\n"), rule).unwrap(),
        "# enc\na:\n    b: value\nc: plain\n"
    );
    assert_eq!(
        yaml("# enc\na: plain\n", rule).unwrap_err().split(": ").next(),
        Some("could not decrypt value at 'a'")
    );
    // In lists encrypted comments are texts.
    assert_eq!(
        yaml(&format!("l:\n- {}\n- {}\n", seal(" hidden", "comment", "l:"), seal("item", "str", "l:")), "")
            .unwrap(),
        "l:\n    # hidden\n    - item\n"
    );
    let rule = r#", "unencrypted_comment_regex": "plain$""#;
    assert_eq!(
        yaml(
            &format!("# plain\na: text\nb:\n    # plain\n    - c: [text]\nd: {}\n", seal("x", "str", "d:")),
            rule
        )
        .unwrap(),
        "# plain\na: text\nb:\n    # plain\n    - c:\n        - text\nd: x\n"
    );
}

/// Objects that were built have no comments: where a rule goes by them, what looks encrypted is decrypted.
#[test]
fn built_objects_of_comment_rules_are_decrypted_by_look() {
    let object = |fields: &str, value: &str| -> serde_json::Value {
        let content = format!(
            r#""spec": {{"values": {{"x": "{value}", "plain": "text", "n": 1, "list": ["{}"]}}}}"#,
            seal("item", "str", "spec:values:list:")
        );
        serde_json::from_str(&document(&content, fields)).unwrap()
    };
    let sealed = seal("5", "int", "spec:values:x:");
    for rule in [r#", "encrypted_comment_regex": "x""#, r#", "unencrypted_comment_regex": "x""#] {
        let built = Document::from_json(&object(rule, &sealed), &Limits::default()).unwrap();
        assert_eq!(
            built.decrypt(&key(), MacCheck::Ignore).unwrap().into_json().unwrap(),
            json!({"spec": {"values": {"x": 5, "plain": "text", "n": 1, "list": ["item"]}}})
        );
        let moved = object(rule, &seal("5", "int", "spec:values:y:"));
        let error = Document::from_json(&moved, &Limits::default())
            .unwrap()
            .decrypt(&key(), MacCheck::Ignore)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not decrypt value at 'spec.values.x': Could not decrypt with AES_GCM: cipher: message authentication failed"
        );
    }
    // Any other rule counts for built objects, too.
    let built = Document::from_json(&object("", &sealed), &Limits::default()).unwrap();
    let error = built.decrypt(&key(), MacCheck::Ignore).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not decrypt value at 'spec.values.plain': Input string <redacted> does not match sops' data format"
    );
}

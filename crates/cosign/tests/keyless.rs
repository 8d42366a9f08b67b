//! Verdicts on signatures without keys, which `data/keyless.go` made with authorities and logs of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cosign::{
    Bundle, CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, Identities, Keyless, LOG_ANNOTATION, MAX_CERTIFICATES,
    MAX_WITNESSES, PublicKey, SIGNATURE_ANNOTATION, SimpleSigning, Trust, TrustedRoot,
};
use serde_json::{Value, json};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ISSUER: &str = "^https://token[.]ci[.]example[.]com$";
const SUBJECT: &str = "^https://ci[.]example[.]com/org/app/release@refs/heads/main$";
const SHOWN: &str = "got subjects [https://ci.example.com/org/app/release@refs/heads/main] with issuer https://token.ci.example.com";

static DATA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("data/keyless.json")).unwrap());

type Verdict = Result<(), String>;

fn trust_by(root: &Value, identities: &[(&str, &str)]) -> Trust {
    let root = Arc::new(TrustedRoot::parse(root.to_string().as_bytes()).unwrap());
    Trust::Keyless(Keyless { root, identities: Identities::new(identities.iter().copied()).unwrap() })
}

fn trust(identities: &[(&str, &str)]) -> Trust {
    trust_by(&DATA["trustedRoot"], identities)
}

fn author() -> Trust {
    trust(&[(ISSUER, SUBJECT)])
}

fn of_bundle(bundle: &Value, hex: &str, trust: &Trust) -> Verdict {
    let json = bundle.to_string();
    let judged = Bundle::parse(json.as_bytes()).and_then(|bundle| bundle.unwrap().verify(hex, trust));
    judged.map_err(|error| error.to_string())
}

fn of_layer(layer: &Value, hex: &str, trust: &Trust) -> Verdict {
    let annotations: BTreeMap<String, String> = serde_json::from_value(layer["annotations"].clone()).unwrap();
    let payload = layer["payload"].as_str().unwrap().as_bytes();
    let signing = SimpleSigning { payload, annotations: &annotations };
    signing.verify(&format!("sha256:{hex}"), trust).map_err(|error| error.to_string())
}

/// What is said of a signature with this name in both forms.
fn both(name: &str, hex: &str, trust: &Trust) -> [Verdict; 2] {
    [of_bundle(&DATA["bundles"][name], hex, trust), of_layer(&DATA["layers"][name], hex, trust)]
}

fn refused(verdict: &Verdict, text: &str) {
    let error = verdict.as_ref().unwrap_err();
    assert!(error.contains(text), "{error} lacks {text}");
}

/// The same with one value replaced.
fn changed(value: &Value, pointer: &str, change: impl FnOnce(&Value) -> Value) -> Value {
    let mut value = value.clone();
    let place = value.pointer_mut(pointer).unwrap();
    *place = change(place);
    value
}

/// Base64 with another bit at the end.
fn flipped(text: &Value) -> Value {
    let mut bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    json!(STANDARD.encode(bytes))
}

#[test]
fn a_signature_by_the_right_identity_counts_in_both_forms() {
    assert_eq!(both("good", HEX, &author()), [Ok(()), Ok(())]);
    let email = trust(&[(ISSUER, "^somebody@example[.]com$")]);
    assert_eq!(both("email", HEX, &email), [Ok(()), Ok(())]);
    let other_name = trust(&[(ISSUER, "^somebody!example[.]com$")]);
    assert_eq!(both("other name", HEX, &other_name), [Ok(()), Ok(())]);
}

#[test]
fn an_entry_of_the_second_version_of_the_log_counts_by_the_authority_of_timestamps() {
    let bundle = &DATA["bundles"]["log 2"];
    assert_eq!(of_bundle(bundle, HEX, &author()), Ok(()));
    let token = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
    refused(&of_bundle(&changed(bundle, token, flipped), HEX, &author()), "invalid RFC 3161 timestamp");
    let without = changed(bundle, "/verificationMaterial/timestampVerificationData", |_| Value::Null);
    refused(&of_bundle(&without, HEX, &author()), "no verified timestamp");
    let no_authority = changed(&DATA["trustedRoot"], "/timestampAuthorities", |_| json!([]));
    let verdict = of_bundle(bundle, HEX, &trust_by(&no_authority, &[(ISSUER, SUBJECT)]));
    refused(&verdict, "no timestamp authorities configured in trusted root");
    let body = changed(bundle, "/verificationMaterial/tlogEntries/0/canonicalizedBody", flipped);
    refused(&of_bundle(&body, HEX, &author()), "invalid inclusion proof");
}

#[test]
fn another_issuer_or_subject_does_not_count_and_both_are_told() {
    for identities in [
        &[("^https://other[.]example[.]com$", SUBJECT)][..],
        &[(ISSUER, "^https://ci[.]example[.]com/org/other/")],
        &[("^https://other[.]example[.]com$", SUBJECT), (ISSUER, "other")],
    ] {
        for verdict in both("good", HEX, &trust(identities)) {
            refused(
                &verdict,
                &format!("none of the expected identities matched what was in the certificate, {SHOWN}"),
            );
        }
    }
}

#[test]
fn patterns_match_anywhere_and_one_identity_of_several_is_enough() {
    for identities in
        [&[("ci.example", "org/app")][..], &[("other", "other"), (ISSUER, SUBJECT)], &[(".*", ".*")]]
    {
        assert_eq!(both("good", HEX, &trust(identities)), [Ok(()), Ok(())], "{identities:?}");
    }
}

#[test]
fn without_identities_bundles_count_of_nobody_and_layers_of_everybody() {
    let [bundle, layer] = both("good", HEX, &trust(&[]));
    refused(&bundle, "can't verify identities without providing at least one identity");
    assert_eq!(layer, Ok(()));
    refused(&of_layer(&DATA["layers"]["foreign log"], HEX, &trust(&[])), "invalid inclusion promise");
}

#[test]
fn a_signature_of_another_artifact_does_not_count() {
    let [bundle, layer] = both("good", OTHER, &author());
    refused(&bundle, "artifact hash does not match any subject in attestation");
    refused(&layer, "signature is of another artifact: the digest in it is not that of this one");
}

#[test]
fn a_certificate_has_to_be_of_a_trusted_authority_recorded_valid_and_for_signing() {
    for (name, text) in [
        ("expired", "certificate chain is invalid"),
        ("no usage", "certificate chain is invalid"),
        ("no timestamp of a log of certificates", "invalid signed certificate timestamp"),
        ("timestamp of a foreign log of certificates", "invalid signed certificate timestamp"),
    ] {
        for verdict in both(name, HEX, &author()) {
            refused(&verdict, text);
        }
    }
    let foreign = trust_by(&DATA["foreignTrustedRoot"], &[(ISSUER, SUBJECT)]);
    assert!(both("good", HEX, &foreign).iter().all(Result::is_err));
    let authority = &DATA["foreignTrustedRoot"]["certificateAuthorities"];
    let foreign = changed(&DATA["trustedRoot"], "/certificateAuthorities", |_| authority.clone());
    for verdict in both("good", HEX, &trust_by(&foreign, &[(ISSUER, SUBJECT)])) {
        refused(&verdict, "certificate chain is invalid");
    }
    let no_logs = changed(&DATA["trustedRoot"], "/ctlogs", |_| json!([]));
    for verdict in both("good", HEX, &trust_by(&no_logs, &[(ISSUER, SUBJECT)])) {
        refused(&verdict, "no CT log keys in trusted root");
    }
}

#[test]
fn logs_and_authorities_count_within_their_times() {
    let past = || json!({"start": "2020-01-01T00:00:00Z", "end": "2025-01-15T11:00:00Z"});
    for (pointer, text) in [
        ("/certificateAuthorities/0/validFor", "no trusted certificate authority is valid at"),
        ("/tlogs/0/publicKey/validFor", "No log key valid at integrated time"),
        ("/ctlogs/0/publicKey/validFor", "invalid signed certificate timestamp"),
    ] {
        let root = changed(&DATA["trustedRoot"], pointer, |_| past());
        for verdict in both("good", HEX, &trust_by(&root, &[(ISSUER, SUBJECT)])) {
            refused(&verdict, text);
        }
    }
}

#[test]
fn what_a_foreign_log_has_signed_does_not_count() {
    for verdict in both("foreign log", HEX, &author()) {
        refused(&verdict, "invalid inclusion promise");
    }
    let log = &DATA["foreignTrustedRoot"]["tlogs"];
    let foreign = changed(&DATA["trustedRoot"], "/tlogs", |_| log.clone());
    for verdict in both("good", HEX, &trust_by(&foreign, &[(ISSUER, SUBJECT)])) {
        refused(&verdict, "No log key valid at integrated time");
    }
}

#[test]
fn a_bundle_that_was_changed_anywhere_does_not_count() {
    let good = &DATA["bundles"]["good"];
    let entry = "/verificationMaterial/tlogEntries/0";
    let envelope = |envelope: &Value| json!(envelope.as_str().unwrap().replacen("example", "exemple", 1));
    for (pointer, change, text) in [
        (
            "/inclusionPromise/signedEntryTimestamp",
            flipped as fn(&Value) -> Value,
            "invalid inclusion promise",
        ),
        ("/inclusionProof/hashes/0", flipped, "invalid inclusion proof"),
        ("/inclusionProof/rootHash", flipped, "root hash"),
        ("/inclusionProof/checkpoint/envelope", envelope, "invalid checkpoint"),
        ("/canonicalizedBody", flipped, "invalid inclusion promise"),
        ("/integratedTime", |_| json!("1736942401"), "invalid inclusion promise"),
        ("/logId/keyId", flipped, "No log key valid at integrated time"),
    ] {
        refused(&of_bundle(&changed(good, &format!("{entry}{pointer}"), change), HEX, &author()), text);
    }
    for (pointer, change, text) in [
        ("/dsseEnvelope/signatures/0/sig", flipped as fn(&Value) -> Value, "invalid signature"),
        ("/dsseEnvelope/payloadType", |_| json!("text/plain"), "unsupported payload type"),
        ("/verificationMaterial/tlogEntries", |_| json!([]), "Bundle error"),
        (
            "/verificationMaterial",
            |_| json!({"publicKey": {"hint": ""}}),
            "expected certificate signature, not key",
        ),
    ] {
        refused(&of_bundle(&changed(good, pointer, change), HEX, &author()), text);
    }
    for pointer in ["/inclusionProof", "/inclusionPromise"] {
        let without = changed(good, &format!("{entry}{pointer}"), |_| Value::Null);
        assert!(of_bundle(&without, HEX, &author()).is_err(), "{pointer}");
    }
}

#[test]
fn an_entry_of_another_signature_does_not_count() {
    let entries = "/verificationMaterial/tlogEntries";
    let another = DATA["bundles"]["another"].pointer(entries).unwrap();
    let bundle = changed(&DATA["bundles"]["good"], entries, |_| another.clone());
    refused(&of_bundle(&bundle, HEX, &author()), "log entry does not match the bundle");
    let log = &DATA["layers"]["another"]["annotations"][LOG_ANNOTATION];
    let mut layer = DATA["layers"]["good"].clone();
    layer["annotations"][LOG_ANNOTATION] = log.clone();
    refused(&of_layer(&layer, HEX, &author()), "log entry does not match the bundle");
}

#[test]
fn a_layer_that_lacks_something_or_was_changed_does_not_count() {
    let good = &DATA["layers"]["good"];
    for annotation in [SIGNATURE_ANNOTATION, CERTIFICATE_ANNOTATION, LOG_ANNOTATION] {
        let mut layer = good.clone();
        layer["annotations"].as_object_mut().unwrap().remove(annotation);
        refused(&of_layer(&layer, HEX, &author()), &format!("a signature lacks the annotation {annotation}"));
    }
    let changed = |annotation: &str, text: &str| {
        let mut layer = good.clone();
        layer["annotations"][annotation] = json!(text);
        of_layer(&layer, HEX, &author())
    };
    for annotation in [CERTIFICATE_ANNOTATION, LOG_ANNOTATION] {
        refused(
            &changed(annotation, "{}"),
            &format!("annotation {annotation} of a signature is not understood"),
        );
    }
    refused(&changed(SIGNATURE_ANNOTATION, "AAAA"), "");
    let log = good["annotations"][LOG_ANNOTATION].as_str().unwrap();
    refused(&changed(LOG_ANNOTATION, &log.replace("1736942400", "1736942401")), "invalid inclusion promise");
    let payload = good["payload"].as_str().unwrap().replace(HEX, OTHER);
    let mut layer = good.clone();
    layer["payload"] = json!(payload);
    refused(&of_layer(&layer, OTHER, &author()), "invalid signature");
}

#[test]
fn certificates_and_witnesses_of_a_signature_have_limits() {
    let mut layer = DATA["layers"]["good"].clone();
    let certificate = layer["annotations"][CERTIFICATE_ANNOTATION].as_str().unwrap().to_owned();
    layer["annotations"][CHAIN_ANNOTATION] = json!(certificate.repeat(MAX_CERTIFICATES - 1));
    assert_eq!(of_layer(&layer, HEX, &author()), Ok(()), "the trusted root has what the chain lacks");
    layer["annotations"][CHAIN_ANNOTATION] = json!(certificate.repeat(MAX_CERTIFICATES));
    refused(&of_layer(&layer, HEX, &author()), "more than 10 certificates");
    let entries = |count| {
        let list = |list: &Value| json!(vec![list[0].clone(); count]);
        let bundle = changed(&DATA["bundles"]["good"], "/verificationMaterial/tlogEntries", list);
        of_bundle(&bundle, HEX, &author())
    };
    assert_eq!(entries(MAX_WITNESSES), Ok(()));
    refused(&entries(MAX_WITNESSES + 1), "more than 32 entries of logs or timestamps");
}

#[test]
fn where_keys_are_trusted_a_certificate_is_not() {
    let key = rcgen::KeyPair::generate().unwrap();
    let keys = Trust::Keys(vec![PublicKey::from_pem(key.public_key_pem().as_bytes()).unwrap()]);
    let [bundle, layer] = both("good", HEX, &keys);
    refused(&bundle, "expected key signature, not certificate");
    refused(&layer, "failed to verify signature: it is of none of the keys");
}

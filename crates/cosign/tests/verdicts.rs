//! Verdicts on what a key has signed and on what only looks like it. The real cosign's signatures are judged in `source-controller`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cosign::{Bundle, BundleError, PublicKey, SimpleSigning, SimpleSigningError};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const V3: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

fn key() -> (KeyPair, Vec<PublicKey>) {
    let key = KeyPair::generate().unwrap();
    let public = PublicKey::from_pem(key.public_key_pem().as_bytes()).unwrap();
    (key, vec![public])
}

fn statement() -> Value {
    json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "subject": [{"digest": {"sha512": "x"}}, {"name": "n", "digest": {"sha256": HEX}}], "predicate": {}})
}

/// A bundle in which `key` has signed `payload` as one of `kind`.
fn bundle(key: &KeyPair, kind: &str, payload: &str) -> Value {
    let message = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let signature = STANDARD.encode(key.sign(message.as_bytes()).unwrap());
    json!({
        "mediaType": V3,
        "verificationMaterial": {"publicKey": {"hint": "h"}, "tlogEntries": []},
        "dsseEnvelope": {"payload": STANDARD.encode(payload), "payloadType": kind, "signatures": [{"sig": signature}]},
    })
}

fn judged(bundle: &Value, keys: &[PublicKey]) -> Result<bool, BundleError> {
    match Bundle::parse(bundle.to_string().as_bytes())? {
        Some(bundle) => bundle.verify(HEX, keys).map(|()| true),
        None => Ok(false),
    }
}

#[test]
fn a_bundle_counts_if_it_is_of_a_known_form_and_signed_for_the_digest() {
    let (key, keys) = key();
    let good = bundle(&key, IN_TOTO, &statement().to_string());
    assert_eq!(judged(&good, &keys), Ok(true));
    let changed = |pointer: &str, value: Value| {
        let mut bundle = good.clone();
        *bundle.pointer_mut(pointer).unwrap() = value;
        bundle
    };
    let signature = &good["dsseEnvelope"]["signatures"][0];
    let mut of_file = good.clone();
    of_file.as_object_mut().unwrap().remove("dsseEnvelope");
    of_file["messageSignature"] = json!({});
    let signed = |statement: Value| bundle(&key, IN_TOTO, &statement.to_string());
    let of_other =
        json!({"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": "0"}}]});
    let other_kind = json!({"_type": "https://example.com/", "subject": [{"digest": {"sha256": HEX}}]});
    for (bundle, verdict) in [
        (changed("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.3")), Ok(true)),
        (changed("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.1")), Ok(false)),
        (changed("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.2")), Ok(false)),
        (
            changed("/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.4+json")),
            Err(BundleError::MediaType("application/vnd.dev.sigstore.bundle.v0.4+json".to_owned())),
        ),
        (
            changed("/verificationMaterial", json!({"certificate": {"rawBytes": ""}})),
            Err(BundleError::Certificate),
        ),
        (
            changed("/verificationMaterial", json!({"x509CertificateChain": {}})),
            Err(BundleError::Certificate),
        ),
        (of_file, Err(BundleError::NoEnvelope)),
        (changed("/dsseEnvelope/signatures", json!([])), Err(BundleError::Signatures(0))),
        (changed("/dsseEnvelope/signatures", json!([signature, signature])), Err(BundleError::Signatures(2))),
        (changed("/dsseEnvelope/signatures/0/sig", json!("AAAA")), Err(BundleError::Signature)),
        (changed("/dsseEnvelope/payload", json!(STANDARD.encode("{}"))), Err(BundleError::Signature)),
        (changed("/dsseEnvelope/payloadType", json!("a/b")), Err(BundleError::PayloadType("a/b".to_owned()))),
        (signed(of_other), Err(BundleError::Digest)),
        (signed(json!({"_type": "https://in-toto.io/Statement/v1"})), Err(BundleError::Digest)),
        (signed(other_kind), Err(BundleError::Statement)),
        (signed(json!([])), Err(BundleError::Statement)),
        (changed("/dsseEnvelope/payload", json!("%")), Err(BundleError::Json { line: 1, column: 0 })),
        (json!([]), Err(BundleError::Json { line: 1, column: 0 })),
    ] {
        let found = judged(&bundle, &keys).map_err(|error| match error {
            BundleError::Json { .. } => BundleError::Json { line: 1, column: 0 },
            other => other,
        });
        assert_eq!(found, verdict, "{bundle}");
    }
    assert_eq!(judged(&good, &self::key().1), Err(BundleError::Signature));
    assert_eq!(judged(&good, &[]), Err(BundleError::Signature));
}

#[test]
fn a_simple_signature_counts_for_the_digest_that_is_in_it() {
    let (key, keys) = key();
    let digest = format!("sha256:{HEX}");
    let of = |digest: &str| {
        json!({"critical": {"identity": {"docker-reference": "r/a"}, "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature"}, "optional": null})
        .to_string()
    };
    let sign = |payload: &str| STANDARD.encode(key.sign(payload.as_bytes()).unwrap());
    let judge = |payload: &str, signature: &str| {
        SimpleSigning { payload: payload.as_bytes(), signature }.verify(&digest, &keys)
    };
    let (good, other) = (of(&digest), of("sha256:0"));
    assert_eq!(judge(&good, &sign(&good)), Ok(()));
    assert_eq!(judge(&good, &format!("{}\n", sign(&good))), Ok(()));
    assert_eq!(judge(&other, &sign(&other)), Err(SimpleSigningError::Digest));
    assert_eq!(judge(&good, &sign(&other)), Err(SimpleSigningError::Signature));
    assert_eq!(judge(&good, "%"), Err(SimpleSigningError::Encoding));
    assert_eq!(judge(&good, ""), Err(SimpleSigningError::Signature));
    for payload in ["", "{}", "[", r#"{"critical": {"image": {"docker-manifest-digest": 1}}}"#] {
        assert_eq!(judge(payload, &sign(payload)), Err(SimpleSigningError::Payload), "{payload}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(judge(&deep, &sign(&deep)), Err(SimpleSigningError::Payload));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), text in "[ -~\n]{0,200}") {
        let (_, keys) = key();
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            proptest::prop_assert!(Bundle::parse(bytes).is_err());
            let _ = PublicKey::from_pem(bytes);
            let signing = SimpleSigning { payload: bytes, signature: &text };
            proptest::prop_assert!(signing.verify("sha256:0", &keys).is_err());
        }
    }
}

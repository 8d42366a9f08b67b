//! Verdicts on what a key has signed and on what only looks like it. The real cosign's signatures are judged in `source-controller`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cosign::{
    Bundle, BundleError, PublicKey, SIGNATURE_ANNOTATION, SimpleSigning, SimpleSigningError, Trust,
    TrustedRoot,
};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const V3: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const NOT_UNDERSTOOD: &str = "bundle is not understood";
const IN_TOTO: &str = "application/vnd.in-toto+json";

fn key() -> (KeyPair, Trust) {
    let key = KeyPair::generate().unwrap();
    let public = PublicKey::from_pem(key.public_key_pem().as_bytes()).unwrap();
    (key, Trust::Keys(vec![public]))
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

/// The verdict; an error by its text.
fn judged(bundle: &Value, keys: &Trust) -> Result<bool, String> {
    let judged = match Bundle::parse(bundle.to_string().as_bytes()) {
        Ok(Some(bundle)) => bundle.verify(HEX, keys).map(|()| true),
        Ok(None) => Ok(false),
        Err(error) => Err(error),
    };
    judged.map_err(|error| match error {
        BundleError::Json { .. } => NOT_UNDERSTOOD.to_owned(),
        error => error.to_string(),
    })
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
        let verdict = verdict.map_err(|error: BundleError| match error {
            BundleError::Json { .. } => NOT_UNDERSTOOD.to_owned(),
            error => error.to_string(),
        });
        assert_eq!(judged(&bundle, &keys), verdict, "{bundle}");
    }
    for nobody in [self::key().1, Trust::Keys(Vec::new())] {
        assert_eq!(judged(&good, &nobody), Err(BundleError::Signature.to_string()));
    }
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
        let annotations = [(SIGNATURE_ANNOTATION.to_owned(), signature.to_owned())].into();
        let signing = SimpleSigning { payload: payload.as_bytes(), annotations: &annotations };
        signing.verify(&digest, &keys).map_err(|error| error.to_string())
    };
    let (good, other) = (of(&digest), of("sha256:0"));
    assert_eq!(judge(&good, &sign(&good)), Ok(()));
    assert_eq!(judge(&good, &format!("{}\n", sign(&good))), Ok(()));
    assert_eq!(judge(&other, &sign(&other)), Err(SimpleSigningError::Digest.to_string()));
    assert_eq!(judge(&good, &sign(&other)), Err(SimpleSigningError::Signature.to_string()));
    assert_eq!(judge(&good, "%"), Err(SimpleSigningError::Encoding.to_string()));
    assert_eq!(judge(&good, ""), Err(SimpleSigningError::Signature.to_string()));
    for payload in ["", "{}", "[", r#"{"critical": {"image": {"docker-manifest-digest": 1}}}"#] {
        assert_eq!(judge(payload, &sign(payload)), Err(SimpleSigningError::Payload.to_string()), "{payload}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(judge(&deep, &sign(&deep)), Err(SimpleSigningError::Payload.to_string()));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), text in "[ -~\n]{0,200}") {
        let (_, keys) = key();
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            proptest::prop_assert!(Bundle::parse(bytes).is_err());
            let _ = PublicKey::from_pem(bytes);
            let annotations = [(SIGNATURE_ANNOTATION.to_owned(), text.clone())].into();
            let signing = SimpleSigning { payload: bytes, annotations: &annotations };
            proptest::prop_assert!(signing.verify("sha256:0", &keys).is_err());
            proptest::prop_assert!(TrustedRoot::parse(bytes).is_err());
        }
    }
}

//! What whoever may push to a registry, or write a Secret, could try.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use notation::{
    COSE_MEDIA_TYPE, Document, JWS_MEDIA_TYPE, MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES, MAX_CHAIN,
    MAX_ENVELOPE_BYTES, MAX_STATEMENTS, MAX_VALUES, Target, TrustStore, verify,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const TIMESTAMP: &str = "io.cncf.notary.timestampSignature";

struct Record {
    now: Timestamp,
    target: Value,
    root: String,
    jws: String,
    cose: Vec<u8>,
    /// One whose certificate has expired since, and its timestamp.
    stamped: (Value, Vec<u8>),
}

/// The good signatures by a key of P-256.
fn record() -> &'static Record {
    static RECORD: LazyLock<Record> = LazyLock::new(read);
    &RECORD
}

fn read() -> Record {
    let record: Value = serde_json::from_str(include_str!("data/notation.json")).unwrap();
    let envelope = |name: &str| {
        let envelopes = record["envelopes"].as_array().unwrap();
        envelopes.iter().find(|envelope| envelope["name"] == name).unwrap().clone()
    };
    let stamped = envelope("timestamp, certificate expired later, jws")["text"].as_str().unwrap().to_owned();
    let stamped: Value = serde_json::from_str(&stamped).unwrap();
    let token = STANDARD.decode(stamped["header"][TIMESTAMP].as_str().unwrap()).unwrap();
    Record {
        stamped: (stamped, token),
        now: record["now"].as_str().unwrap().parse().unwrap(),
        target: record["target"].clone(),
        root: record["policies"][0]["certificates"][0].as_str().unwrap().to_owned(),
        jws: envelope("P-256, jws")["text"].as_str().unwrap().to_owned(),
        cose: STANDARD.decode(envelope("P-256, cose")["bytes"].as_str().unwrap()).unwrap(),
    }
}

fn policy(statements: Value) -> String {
    json!({"version": "1.0", "trustPolicies": statements}).to_string()
}

fn statement(name: &str, scope: &str) -> Value {
    json!({"name": name, "registryScopes": [scope], "signatureVerification": {"level": "strict"}, "trustStores": ["ca:a"],
        "trustedIdentities": ["*"]})
}

impl Record {
    fn judge(&self, trust: &TrustStore, media_type: &str, envelope: &[u8]) -> Result<(), String> {
        let document = Document::parse(policy(json!([statement("a", "*")])).as_bytes()).unwrap();
        self.judge_by(&document, trust, media_type, envelope)
    }

    fn judge_by(
        &self,
        document: &Document,
        trust: &TrustStore,
        media_type: &str,
        envelope: &[u8],
    ) -> Result<(), String> {
        let target = Target {
            media_type: self.target["mediaType"].as_str().unwrap(),
            digest: self.target["digest"].as_str().unwrap(),
            size: self.target["size"].as_u64().unwrap(),
        };
        let verdict =
            verify(document.statement("a/b", "").unwrap(), trust, media_type, envelope, &target, self.now);
        verdict.map(drop).map_err(|error| error.to_string())
    }

    /// The verdict on the signature whose certificate has expired, with this timestamp.
    fn judge_stamped(&self, token: &[u8]) -> Result<(), String> {
        let mut statement = statement("a", "*");
        statement["trustStores"] = json!(["ca:a", "tsa:a"]);
        let document = Document::parse(policy(json!([statement])).as_bytes()).unwrap();
        let mut envelope = self.stamped.0.clone();
        envelope["header"][TIMESTAMP] = STANDARD.encode(token).into();
        self.judge_by(&document, &self.trust(), JWS_MEDIA_TYPE, envelope.to_string().as_bytes())
    }

    fn trust(&self) -> TrustStore {
        TrustStore::new([self.root.as_bytes()])
    }
}

#[test]
fn envelopes_have_limits_that_are_told() {
    let record = record();
    let trust = record.trust();
    assert_eq!(record.judge(&trust, JWS_MEDIA_TYPE, record.jws.as_bytes()), Ok(()));
    let padded = |bytes: u64| {
        let mut jws = record.jws.clone().into_bytes();
        jws.resize(usize::try_from(bytes).unwrap(), b' ');
        jws
    };
    assert_eq!(record.judge(&trust, JWS_MEDIA_TYPE, &padded(MAX_ENVELOPE_BYTES)), Ok(()));
    let text = "unable to parse the digital signature, error : envelope is larger than 1048576 bytes";
    let large = record.judge(&trust, JWS_MEDIA_TYPE, &padded(MAX_ENVELOPE_BYTES + 1));
    assert_eq!(large, Err(text.to_owned()));

    let mut jws: Value = serde_json::from_str(&record.jws).unwrap();
    let root = jws["header"]["x5c"][1].clone();
    let chain = jws["header"]["x5c"].as_array_mut().unwrap();
    chain.resize(MAX_CHAIN, root.clone());
    let text = "certificate-chain is invalid, intermediate certificate with subject";
    assert!(record.judge(&trust, JWS_MEDIA_TYPE, jws.to_string().as_bytes()).unwrap_err().starts_with(text));
    jws["header"]["x5c"].as_array_mut().unwrap().push(root);
    let text = "certificate-chain is invalid, certificate chain has more than 16 certificates";
    assert_eq!(record.judge(&trust, JWS_MEDIA_TYPE, jws.to_string().as_bytes()), Err(text.to_owned()));

    jws["header"]["x5c"] =
        json!([jws["header"]["x5c"][0], STANDARD.encode(vec![0; MAX_CERTIFICATE_BYTES + 1])]);
    let text = "certificate is larger than 65536 bytes";
    assert_eq!(record.judge(&trust, JWS_MEDIA_TYPE, jws.to_string().as_bytes()), Err(text.to_owned()));
}

#[test]
fn trusted_certificates_and_policies_have_limits_that_are_told() {
    let record = record();
    let many = |number: usize| TrustStore::new(std::iter::repeat_n(record.root.as_bytes(), number));
    assert_eq!(record.judge(&many(MAX_CERTIFICATES), JWS_MEDIA_TYPE, record.jws.as_bytes()), Ok(()));
    let verdict = record.judge(&many(MAX_CERTIFICATES + 1), JWS_MEDIA_TYPE, record.jws.as_bytes());
    assert_eq!(verdict, Err("trust store 'a' has more than 100 certificates".to_owned()));

    let statements = |number: usize| {
        let statements = (0..number).map(|at| statement(&format!("s{at}"), &format!("a/b{at}")));
        Document::parse(policy(statements.collect()).as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(statements(MAX_STATEMENTS), Ok(()));
    let text = "trust policy document has more than 100 trust policy statements";
    assert_eq!(statements(MAX_STATEMENTS + 1), Err(text.to_owned()));
    let stores = |number: usize| {
        let mut statement = statement("a", "*");
        statement["trustStores"] = (0..number).map(|at| format!("ca:{at}")).collect();
        Document::parse(policy(json!([statement])).as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(stores(MAX_VALUES), Ok(()));
    let text = "trust policy statement \"a\" has more than 100 values of 'trustStores'";
    assert_eq!(stores(MAX_VALUES + 1), Err(text.to_owned()));
}

#[test]
fn what_is_nested_without_end_is_an_error() {
    let record = record();
    let deep = "[".repeat(100_000);
    assert!(record.judge(&record.trust(), JWS_MEDIA_TYPE, deep.as_bytes()).is_err());
    assert!(Document::parse(deep.as_bytes()).is_err());
    // Lists of one element, and then tags.
    for byte in [0x81, 0xc1] {
        let mut cbor = vec![0xd2, 0x84];
        cbor.resize(100_000, byte);
        assert!(record.judge(&record.trust(), COSE_MEDIA_TYPE, &cbor).is_err());
    }
    // A text that announces more than there is.
    assert!(
        record
            .judge(
                &record.trust(),
                COSE_MEDIA_TYPE,
                &[0xd2, 0x84, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
            )
            .is_err()
    );
    let mut jws: Value = serde_json::from_str(&record.jws).unwrap();
    jws["protected"] = URL_SAFE_NO_PAD.encode(&deep).into();
    assert!(record.judge(&record.trust(), JWS_MEDIA_TYPE, jws.to_string().as_bytes()).is_err());
}

proptest! {
    #[test]
    fn an_envelope_of_cose_that_was_changed_in_what_is_signed_does_not_count(at in 0_usize..4000, bit in 0_u8..8) {
        let record = record();
        let mut cose = record.cose.clone();
        let at = at % cose.len();
        cose[at] ^= 1 << bit;
        // The name of the program alone is not signed.
        let verdict = record.judge(&record.trust(), COSE_MEDIA_TYPE, &cose);
        prop_assert!(verdict.is_err() || is_signing_agent(&record.cose, at));
    }

    #[test]
    fn a_timestamp_that_was_changed_does_not_count(at in 0_usize..4000, bit in 0_u8..8) {
        let record = record();
        prop_assert_eq!(record.judge_stamped(&record.stamped.1), Ok(()));
        let mut token = record.stamped.1.clone();
        let at = at % token.len();
        token[at] ^= 1 << bit;
        prop_assert!(record.judge_stamped(&token).is_err() || is_list_of_digests(&record.stamped.1, at));
        token.truncate(at);
        prop_assert!(record.judge_stamped(&token).is_err());
    }

    #[test]
    fn a_policy_is_read_or_an_error(text in "\\PC{0,60}", at in 0_usize..200) {
        let mut json = policy(json!([statement("a", "*")]));
        let at = (0..=at.min(json.len())).rev().find(|at| json.is_char_boundary(*at)).unwrap();
        json.insert_str(at, &text);
        let _ = Document::parse(json.as_bytes());
        let _ = Document::parse(text.as_bytes());
    }
}

/// Whether a byte of a timestamp is in the list of digests that the signers use, which is not signed, and which nobody reads.
fn is_list_of_digests(token: &[u8], at: usize) -> bool {
    let sha256 = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    let start = token.windows(sha256.len()).position(|window| window == sha256).unwrap();
    (start - 4..start + sha256.len()).contains(&at)
}

/// Whether a byte is in the header that tells the name of the program, which is not signed.
fn is_signing_agent(cose: &[u8], at: usize) -> bool {
    let name = b"io.cncf.notary.signingAgent";
    let start = cose.windows(name.len()).position(|window| window == name).unwrap();
    (start - 2..start + name.len() + 7).contains(&at)
}

//! The verdicts of notation-go, recorded by `data/notation.go`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use notation::{Document, Target, TrustStore, verify};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    now: String,
    target: Artifact,
    envelopes: Vec<Envelope>,
    policies: Vec<Policy>,
    /// What notation-go says: nothing, `refused: …`, or a line for each check that failed without consequence.
    texts: Vec<String>,
    documents: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    name: String,
    media_type: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    bytes: String,
    verdicts: Vec<usize>,
}

impl Envelope {
    fn content(&self) -> Vec<u8> {
        if self.bytes.is_empty() {
            self.text.clone().into_bytes()
        } else {
            STANDARD.decode(&self.bytes).unwrap()
        }
    }
}

#[derive(Deserialize)]
struct Policy {
    name: String,
    document: String,
    certificates: Vec<String>,
}

#[derive(Deserialize)]
struct Row {
    document: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    statement: String,
}

const REPOSITORY: &str = "registry.example.com/team/app";

fn record() -> Record {
    serde_json::from_str(include_str!("data/notation.json")).unwrap()
}

/// What notation-go says, and what is said here.
const OTHER_TEXTS: [(&str, &str); 12] = [
    ("Error: crypto/ecdsa: verification error", "Error: verification error"),
    ("x509: ECDSA verification failure", "x509: signature verification failure"),
    ("revocation status is unknown", "revocation status is unknown: OCSP and CRLs cannot be asked yet"),
    // Signatures by such keys cannot be verified here.
    (
        "failed to validate the timestamping certificate chain with error: certificate with subject \"CN=tsa,O=Example,ST=WA,C=US\": ecdsa key size 224 bits is not supported",
        "failed to verify the timestamp countersignature with error: failed to verify signed token: cms verification failure: x509: signature verification failure",
    ),
    (": verifier PS256: header PS512", ""),
    (": verifier PS256: header RS256", ""),
    ("unsupported signingScheme: notary.other", "unsupported SigningScheme: `notary.other`"),
    ("missing content type", "content type should be of 'tstr' type"),
    ("error : empty signature", INVALID_COSE),
    ("error : unexpected EOF", INVALID_COSE),
    (
        "error : cbor: invalid protected header: protected header: header parameter: crit: empty crit header",
        INVALID_COSE,
    ),
    // Go's texts about JSON are not repeated: they quote it.
    ("invalid character 'e' in literal true (expecting 'r')", "payload is not a JSON object"),
];
const INVALID_COSE: &str = "error : cbor: invalid COSE_Sign1_Tagged object";
/// Envelopes that are refused for the same reason in other words.
const OTHER_WORDS: [&str; 10] = [
    "P-224, jws",
    "time is a text, jws",
    "time is a number, jws",
    "empty payload, jws",
    "payload is no JSON, cose",
    "no envelope, jws",
    "list, jws",
    "empty, jws",
    "cose as jws",
    "payload is no JSON, jws",
];
/// Envelopes whose timestamps are refused at the same step in other words.
const OTHER_WORDS_OF_TIMESTAMPS: &str = "odd timestamp: ";
/// notation-go leaves such a header to plugins, and without one nobody looks at it. RFC 7515 and RFC 9052 want it refused.
const REFUSED_HERE_ALONE: &str = "unknown critical header";

#[test]
fn signatures_count_where_they_count_for_notation_go() {
    let record = record();
    let target = Target {
        media_type: &record.target.media_type,
        digest: &record.target.digest,
        size: record.target.size,
    };
    let (now, mut wrong, mut verdicts) = (record.now.parse::<Timestamp>().unwrap(), Vec::new(), 0);
    for (number, policy) in record.policies.iter().enumerate() {
        let document = Document::parse(policy.document.as_bytes()).unwrap();
        let statement = document.statement(REPOSITORY, "").unwrap();
        if statement.level().skips_all() {
            continue;
        }
        let trust = TrustStore::new(policy.certificates.iter().map(|text| text.as_bytes()));
        for envelope in &record.envelopes {
            let expected = &record.texts[envelope.verdicts[number]];
            let verdict = verify(statement, &trust, &envelope.media_type, &envelope.content(), &target, now);
            let said = match verdict {
                Ok(outcome) => {
                    let lines = outcome.failures().iter().map(|(check, error)| format!("{check}: {error}\n"));
                    lines.collect::<String>()
                }
                Err(error) => format!("refused: {error}"),
            };
            let refused = "refused: ";
            let is_same = if envelope.name.starts_with(REFUSED_HERE_ALONE) {
                said == "refused: critical attribute \"com.example.a\" is not understood"
            } else if OTHER_WORDS.contains(&envelope.name.as_str()) {
                said.starts_with(refused) && expected.starts_with(refused)
            } else if envelope.name.starts_with(OTHER_WORDS_OF_TIMESTAMPS) {
                let step = |text: &str| text.split(" with error: ").next().map(str::to_owned);
                step(&said) == step(expected)
            } else {
                said == OTHER_TEXTS.iter().fold(expected.clone(), |text, (go, ours)| text.replace(go, ours))
            };
            if !is_same {
                wrong.push(format!("{} by {}:\n  {expected}\n  {said}", envelope.name, policy.name));
            }
            verdicts += 1;
        }
    }
    assert_eq!(verdicts, 331 * 16);
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

const GO_ESCAPE: &str = "failed to decode escaped character: encoding/hex: invalid byte: U+007A 'z'";

#[test]
fn trust_policies_are_valid_where_they_are_for_notation_go() {
    let mut wrong = Vec::new();
    for row in record().documents {
        let repository = row.reference.split('@').next().unwrap_or_default();
        let said = Document::parse(row.document.as_bytes()).map_err(|error| error.to_string());
        let said = said.and_then(|document| match repository {
            "" => Ok(String::new()),
            _ => document
                .statement(repository, &row.reference)
                .map(|found| found.name().to_owned())
                .map_err(|error| error.to_string()),
        });
        let is_same = match &said {
            // Go's texts about JSON are not repeated.
            Err(error) if row.error.starts_with("parse: ") => {
                error.contains("JSON") || error.contains("' must be ")
            }
            Err(error) => *error == row.error.replace(GO_ESCAPE, "got corrupted escaped character"),
            Ok(name) => row.error.is_empty() && *name == row.statement,
        };
        if !is_same {
            let expected = if row.error.is_empty() { Ok(row.statement) } else { Err(row.error) };
            wrong.push(format!("{}\n  {expected:?}\n  {said:?}", row.document));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

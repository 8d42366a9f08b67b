//! Envelopes in JSON: flattened JWS (RFC 7515; notation specification, "JWS envelope").

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::chain::{ChainError, PurposeError};
use crate::envelope::{
    self, AUTHENTIC_SIGNING_TIME, Attribute, EXPIRY, Envelope, EnvelopeError, SCHEME, SIGNING_TIME, Scheme,
    TIMESTAMP, is_time,
};
use crate::key::Algorithm;
use crate::quote;

/// Headers that are known, and so no attributes.
const KNOWN: [&str; 7] = ["alg", "cty", "crit", EXPIRY, SIGNING_TIME, SCHEME, AUTHENTIC_SIGNING_TIME];

/// Why a text is no envelope. The texts are notation-core-go's where it has one of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is not the JSON of one.
    #[error("unable to parse the digital signature, error : line {line}, column {column}")]
    Json {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A part is not base64.
    #[error("'{0}' of the envelope is not base64")]
    Base64(&'static str),
    /// The protected headers are not JSON, or have another type.
    #[error("jws envelope protected header can't be decoded: {0}")]
    Header(&'static str),
    /// The algorithm is none that envelopes are signed with.
    #[error("signature is invalid. Error: signing method {0} is invalid")]
    Algorithm(String),
    /// The algorithm is not one for the key.
    #[error("signature is invalid. Error: key is of invalid type")]
    KeyType,
    /// What is signed is no object.
    #[error("signature is invalid. Error: payload is not a JSON object")]
    Payload,
    /// A header is there that must not be.
    #[error("{} header must not be present for {scheme} signing scheme", quote(.header))]
    Forbidden {
        /// The header.
        header: &'static str,
        /// The scheme.
        scheme: &'static str,
    },
    /// The time of an authority is missing.
    #[error("\"io.cncf.notary.authenticSigningTime\" header must be present for notary.x509 signing scheme")]
    NoAuthenticTime,
    /// No header is marked as one that must be understood.
    #[error("missing \"crit\" header")]
    NoCritical,
    /// A header that must be understood is missing.
    #[error("{} header is marked critical but not present", quote(.0))]
    MissingCritical(String),
}

#[derive(Deserialize)]
struct Wire {
    payload: String,
    protected: String,
    header: Unprotected,
    signature: String,
}

#[derive(Deserialize)]
struct Unprotected {
    x5c: Option<Vec<String>>,
    #[serde(rename = "io.cncf.notary.timestampSignature")]
    timestamp: Option<String>,
}

/// Reads an envelope and verifies its signature with the key of its first certificate.
///
/// # Errors
/// When it is none, or the signature is not good.
pub(crate) fn open(json: &[u8]) -> Result<Envelope, EnvelopeError> {
    // Not the error's own text, which may quote the envelope.
    let wire: Wire = serde_json::from_slice(json)
        .map_err(|error| JwsError::Json { line: error.line(), column: error.column() })?;
    let certificates = wire.header.x5c.iter().flatten().map(|text| STANDARD.decode(text));
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|_| JwsError::Base64("x5c"))?;
    let chain = envelope::read_chain(&certificates)?;
    let header = decoded("protected", &wire.protected)?;
    let header: Map<String, Value> =
        serde_json::from_slice(&header).map_err(|_| JwsError::Header("it is not a JSON object"))?;
    let algorithm = algorithm(&text(&header, "alg")?)?;
    let payload = decoded("payload", &wire.payload)?;
    let signature = decoded("signature", &wire.signature)?;
    let timestamp = STANDARD.decode(wire.header.timestamp.as_deref().unwrap_or_default());
    let timestamp = timestamp.map_err(|_| JwsError::Base64(TIMESTAMP))?;
    let leaf = chain.first().ok_or(EnvelopeError::NoChain)?;
    let message = format!("{}.{}", wire.protected, wire.payload);
    if !leaf.key().has_signed(algorithm, message.as_bytes(), &signature) {
        return Err(match leaf.key().algorithm() {
            Ok(of_key) if is_rsa(of_key) != is_rsa(algorithm) => JwsError::KeyType.into(),
            Ok(_) => EnvelopeError::Signature,
            // Of such keys, nobody knows signatures.
            Err(source) => {
                let error = PurposeError::Key { subject: leaf.subject().to_owned(), source };
                ChainError::Purpose(error).into()
            }
        });
    }
    if serde_json::from_slice::<Map<String, Value>>(&payload).is_err() {
        return Err(JwsError::Payload.into());
    }
    let Headers { scheme, signing_time, expiry, attributes } = headers(&header)?;
    let content_type = text(&header, "cty")?;
    Ok(Envelope {
        payload,
        content_type,
        algorithm,
        scheme,
        signing_time,
        expiry,
        attributes,
        chain,
        signature,
        timestamp,
    })
}

struct Headers {
    scheme: Scheme,
    signing_time: Option<Timestamp>,
    expiry: Option<Timestamp>,
    attributes: Vec<Attribute>,
}

fn headers(header: &Map<String, Value>) -> Result<Headers, EnvelopeError> {
    let critical = match header.get("crit") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => {
            let names = values.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            names.ok_or(JwsError::Header("'crit' must be a list of strings"))?
        }
        Some(_) => return Err(JwsError::Header("'crit' must be a list of strings").into()),
    };
    let scheme = Scheme::of(&text(header, SCHEME)?)?;
    let (time, authentic) = (time(header, SIGNING_TIME)?, time(header, AUTHENTIC_SIGNING_TIME)?);
    let expiry = self::time(header, EXPIRY)?;
    let signing_time = match scheme {
        Scheme::X509 if authentic.is_some() => {
            let header = AUTHENTIC_SIGNING_TIME;
            return Err(JwsError::Forbidden { header, scheme: "notary.x509" }.into());
        }
        Scheme::SigningAuthority if time.is_some() => {
            let scheme = "notary.x509.signingAuthority";
            return Err(JwsError::Forbidden { header: SIGNING_TIME, scheme }.into());
        }
        Scheme::SigningAuthority if authentic.is_none() => return Err(JwsError::NoAuthenticTime.into()),
        Scheme::X509 => time,
        Scheme::SigningAuthority => authentic,
    };
    if critical.is_empty() {
        return Err(JwsError::NoCritical.into());
    }
    let expires = expiry.as_ref().is_some_and(is_time);
    // A header that must be understood is one of those that have to be, each once, or an attribute.
    let mut required = envelope::required(scheme, expires);
    let is_attribute = |name: &str| header.contains_key(name) && !KNOWN.contains(&name);
    for name in &critical {
        match required.iter().position(|required| required == name) {
            Some(at) => drop(required.remove(at)),
            None if is_attribute(name) => {}
            None => return Err(JwsError::MissingCritical((*name).to_owned()).into()),
        }
    }
    if !required.is_empty() {
        return Err(EnvelopeError::NotCritical(required));
    }
    let attributes =
        header.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str())).map(|(key, value)| Attribute {
            key: key.clone(),
            is_critical: critical.contains(&key.as_str()),
            text: value.as_str().map(str::to_owned),
        });
    Ok(Headers { scheme, signing_time, expiry, attributes: attributes.collect() })
}

fn algorithm(name: &str) -> Result<Algorithm, JwsError> {
    match name {
        "PS256" => Ok(Algorithm::Ps256),
        "PS384" => Ok(Algorithm::Ps384),
        "PS512" => Ok(Algorithm::Ps512),
        "ES256" => Ok(Algorithm::Es256),
        "ES384" => Ok(Algorithm::Es384),
        "ES512" => Ok(Algorithm::Es512),
        _ => Err(JwsError::Algorithm(name.to_owned())),
    }
}

fn is_rsa(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512)
}

fn decoded(part: &'static str, text: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwsError::Base64(part))
}

fn text(header: &Map<String, Value>, name: &str) -> Result<String, JwsError> {
    match header.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(JwsError::Header("a header must be a string")),
    }
}

fn time(header: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, JwsError> {
    let wrong = JwsError::Header("a time must be one of RFC 3339");
    match header.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong),
        Some(_) => Err(wrong),
    }
}

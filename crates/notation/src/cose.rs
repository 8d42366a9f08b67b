//! Envelopes in CBOR: COSE_Sign1 (RFC 9052; notation specification, "COSE envelope").

use coset::cbor::value::Value;
use coset::iana::{self, EnumI64};
use coset::{
    Algorithm as CoseAlgorithm, CoseSign1, Header, Label, RegisteredLabel, RegisteredLabelWithPrivate,
    TaggedCborSerializable,
};
use jiff::{SignedDuration, Timestamp};

use crate::envelope::{
    self, AUTHENTIC_SIGNING_TIME, Attribute, EXPIRY, Envelope, EnvelopeError, SCHEME, SIGNING_TIME, Scheme,
    TIMESTAMP,
};
use crate::key::Algorithm;
use crate::quote;

/// The header with the certificates (RFC 9360).
const X5_CHAIN: Label = Label::Int(33);
/// The tag of times that are seconds (RFC 8949).
const SECONDS: u64 = 1;

/// Why bytes are no envelope. The texts are notation-core-go's where it has one of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// They are not a tagged `COSE_Sign1`.
    #[error("unable to parse the digital signature, error : cbor: invalid COSE_Sign1_Tagged object")]
    Cbor,
    /// Nothing is signed.
    #[error("signature is invalid. Error: missing payload")]
    NoPayload,
    /// The algorithm is not the one of the key.
    #[error("signature is invalid. Error: algorithm mismatch")]
    Algorithm,
    /// The type of what is signed is missing, or a number.
    #[error("content type should be of 'tstr' type")]
    ContentType,
    /// The scheme is no text.
    #[error("invalid signingScheme")]
    Scheme,
    /// A header that must be understood is missing.
    #[error(
        "unable to parse the digital signature, error : cbor: invalid protected header: protected header: header parameter: crit: \
         missing critical header: {0}"
    )]
    MissingCritical(String),
    /// A time is wrong.
    #[error("invalid {name}: {fault}")]
    Time {
        /// `signingTime` or `expiry`.
        name: &'static str,
        /// What is wrong.
        fault: TimeError,
    },
}

/// What is wrong with a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// There is none.
    #[error("protected header {} is missing", quote(.0))]
    Missing(&'static str),
    /// It is written in another way.
    #[error("only Tag `1` Datetime CBOR object is supported")]
    Tag,
    /// It is none.
    #[error("invalid timeValue type")]
    Value,
}

/// Reads an envelope and verifies its signature with the key of its first certificate.
///
/// # Errors
/// When it is none, or the signature is not good.
pub(crate) fn open(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
    let message = CoseSign1::from_tagged_slice(bytes).map_err(|_| CoseError::Cbor)?;
    let chain = envelope::read_chain(&certificates(&message.unprotected)?)?;
    let leaf = chain.first().ok_or(EnvelopeError::NoChain)?;
    let algorithm = leaf.key().algorithm().map_err(EnvelopeError::Key)?;
    let header = &message.protected.header;
    if header.alg.as_ref().and_then(of_header) != Some(algorithm) {
        return Err(CoseError::Algorithm.into());
    }
    let signed = message.payload.as_ref().map(|_| message.tbs_data(&[])).ok_or(CoseError::NoPayload)?;
    if !leaf.key().has_signed(algorithm, &signed, &message.signature) {
        return Err(EnvelopeError::Signature);
    }
    let Some(RegisteredLabel::Text(content_type)) = &header.content_type else {
        return Err(CoseError::ContentType.into());
    };
    let content_type = content_type.clone();
    let Headers { scheme, signing_time, expiry, attributes } = headers(header)?;
    let timestamp =
        message.unprotected.rest.iter().find(|(label, _)| *label == Label::Text(TIMESTAMP.to_owned()));
    let timestamp = timestamp.and_then(|(_, value)| value.as_bytes()).cloned().unwrap_or_default();
    Ok(Envelope {
        payload: message.payload.unwrap_or_default(),
        content_type,
        algorithm,
        scheme,
        signing_time,
        expiry,
        attributes,
        chain,
        signature: message.signature,
        timestamp,
    })
}

/// The certificates: a list, even of one.
fn certificates(header: &Header) -> Result<Vec<Vec<u8>>, EnvelopeError> {
    let list =
        header.rest.iter().find(|(label, _)| *label == X5_CHAIN).and_then(|(_, value)| value.as_array());
    let bytes = list.ok_or(EnvelopeError::NoChain)?.iter().map(|value| value.as_bytes().cloned());
    bytes.collect::<Option<_>>().ok_or(EnvelopeError::NoChain)
}

struct Headers {
    scheme: Scheme,
    signing_time: Option<Timestamp>,
    expiry: Option<Timestamp>,
    attributes: Vec<Attribute>,
}

fn headers(header: &Header) -> Result<Headers, EnvelopeError> {
    let named = |name: &str| {
        header.rest.iter().find_map(|(label, value)| match label {
            Label::Text(text) if text == name => Some(value),
            _ => None,
        })
    };
    let is_critical = |wanted: &Label| header.crit.iter().any(|label| *wanted == as_label(label));
    let has = |label: &Label| is_known(header, label) || header.rest.iter().any(|(own, _)| own == label);
    if let Some(missing) = header.crit.iter().map(as_label).find(|label| !has(label)) {
        return Err(CoseError::MissingCritical(shown(&missing)).into());
    }
    let scheme = Scheme::of(named(SCHEME).and_then(Value::as_text).ok_or(CoseError::Scheme)?)?;
    let expires = named(EXPIRY).is_some();
    let mut missing = envelope::required(scheme, expires);
    missing.retain(|name| !is_critical(&Label::Text((*name).to_owned())));
    if !missing.is_empty() {
        return Err(EnvelopeError::NotCritical(missing));
    }
    let label = match scheme {
        Scheme::X509 => SIGNING_TIME,
        Scheme::SigningAuthority => AUTHENTIC_SIGNING_TIME,
    };
    let wrong = |name| move |fault| CoseError::Time { name, fault };
    let signing_time = named(label).ok_or(TimeError::Missing(label)).and_then(time);
    let signing_time = Some(signing_time.map_err(wrong("signingTime"))?);
    let expiry = named(EXPIRY).map(time).transpose().map_err(wrong("expiry"))?;
    let is_read = |label: &Label| matches!(label, Label::Text(name) if [EXPIRY, SCHEME, SIGNING_TIME, AUTHENTIC_SIGNING_TIME].contains(&name.as_str()));
    let rest = header.rest.iter().filter(|(label, _)| !is_read(label)).map(|(label, value)| Attribute {
        key: shown(label),
        is_critical: is_critical(label),
        text: value.as_text().map(str::to_owned),
    });
    // Those of COSE's own that this crate does not read.
    let unread = [iana::HeaderParameter::Kid, iana::HeaderParameter::Iv, iana::HeaderParameter::PartialIv];
    let unread = unread.into_iter().map(|parameter| Label::Int(parameter.to_i64())).filter(is_critical);
    let unread = unread.map(|label| Attribute { key: shown(&label), is_critical: true, text: None });
    Ok(Headers { scheme, signing_time, expiry, attributes: rest.chain(unread).collect() })
}

/// Whether the header has one of those that COSE itself defines.
fn is_known(header: &Header, label: &Label) -> bool {
    let Label::Int(number) = label else { return false };
    match iana::HeaderParameter::from_i64(*number) {
        Some(iana::HeaderParameter::Alg) => header.alg.is_some(),
        Some(iana::HeaderParameter::Crit) => true,
        Some(iana::HeaderParameter::ContentType) => header.content_type.is_some(),
        Some(iana::HeaderParameter::Kid) => !header.key_id.is_empty(),
        Some(iana::HeaderParameter::Iv) => !header.iv.is_empty(),
        Some(iana::HeaderParameter::PartialIv) => !header.partial_iv.is_empty(),
        _ => false,
    }
}

fn as_label(label: &RegisteredLabelWithPrivate<iana::HeaderParameter>) -> Label {
    match label {
        RegisteredLabelWithPrivate::Assigned(parameter) => Label::Int(parameter.to_i64()),
        RegisteredLabelWithPrivate::PrivateUse(number) => Label::Int(*number),
        RegisteredLabelWithPrivate::Text(text) => Label::Text(text.clone()),
    }
}

fn shown(label: &Label) -> String {
    match label {
        Label::Int(number) => number.to_string(),
        Label::Text(text) => text.clone(),
    }
}

fn of_header(algorithm: &CoseAlgorithm) -> Option<Algorithm> {
    match algorithm {
        CoseAlgorithm::Assigned(iana::Algorithm::PS256) => Some(Algorithm::Ps256),
        CoseAlgorithm::Assigned(iana::Algorithm::PS384) => Some(Algorithm::Ps384),
        CoseAlgorithm::Assigned(iana::Algorithm::PS512) => Some(Algorithm::Ps512),
        CoseAlgorithm::Assigned(iana::Algorithm::ES256) => Some(Algorithm::Es256),
        CoseAlgorithm::Assigned(iana::Algorithm::ES384) => Some(Algorithm::Es384),
        CoseAlgorithm::Assigned(iana::Algorithm::ES512) => Some(Algorithm::Es512),
        _ => None,
    }
}

/// Seconds since 1970, with their tag.
fn time(value: &Value) -> Result<Timestamp, TimeError> {
    let Value::Tag(tag, value) = value else { return Err(TimeError::Value) };
    if *tag != SECONDS {
        return Err(TimeError::Tag);
    }
    match **value {
        Value::Integer(seconds) => {
            let seconds = i64::try_from(seconds).map_err(|_| TimeError::Value)?;
            Timestamp::from_second(seconds).map_err(|_| TimeError::Value)
        }
        Value::Float(seconds) => {
            let duration = SignedDuration::try_from_secs_f64(seconds).map_err(|_| TimeError::Value)?;
            Timestamp::from_duration(duration).map_err(|_| TimeError::Value)
        }
        _ => Err(TimeError::Value),
    }
}

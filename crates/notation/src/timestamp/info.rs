//! What a timestamp says (RFC 3161, `TSTInfo`): of what, when, and how sure that is.

use jiff::{SignedDuration, Timestamp};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Error, ErrorKind, Tag, TagNumber};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::cms::Parts;

/// The policy of authorities whose clocks are right to a second (ETSI EN 319 421).
const BASELINE_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.2023.1.1");

/// A time that a third party vouches for, and by how much it may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) time: Timestamp,
    pub(crate) accuracy: SignedDuration,
}

/// What is signed.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) version: i64,
    pub(super) hash: ObjectIdentifier,
    pub(super) message: Vec<u8>,
    pub(super) stamp: Stamp,
}

impl Info {
    /// Reads what is signed, in DER.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn read(der: &[u8]) -> Result<Info, Error> {
        let mut parts = Parts::of_sequence(der)?;
        let version = parts.next()?.decode_as()?;
        let policy: ObjectIdentifier = parts.next()?.decode_as()?;
        let mut imprint = parts.sequence()?;
        let hash = imprint.next()?.decode_as::<AlgorithmIdentifierOwned>()?.oid;
        let message = imprint.next()?.decode_as::<&OctetStringRef>()?.as_bytes().to_vec();
        let _serial = parts.next_if(|tag| tag == Tag::Integer).ok_or(Error::from(ErrorKind::Failed))?;
        let time =
            parts.next_if(|tag| tag == Tag::GeneralizedTime).and_then(|time| generalized(time.value()));
        let time = time.ok_or(Error::from(ErrorKind::DateTime))?;
        let accuracy = match parts.next_if(|tag| tag == Tag::Sequence) {
            Some(accuracy) => accuracy_of(accuracy.value())?,
            None => SignedDuration::ZERO,
        };
        let is_baseline = accuracy.is_zero() && policy == BASELINE_POLICY;
        let accuracy = if is_baseline { SignedDuration::from_secs(1) } else { accuracy };
        Ok(Info { version, hash, message, stamp: Stamp { time, accuracy } })
    }
}

/// Seconds, thousandths and millionths of one. Nobody may know a time better than at once.
fn accuracy_of(value: &[u8]) -> Result<SignedDuration, Error> {
    let mut parts = Parts::of(value)?;
    let seconds = parts.next_if(|tag| tag == Tag::Integer).map(|part| part.decode_as::<u32>()).transpose()?;
    let mut fraction = |number: u32| -> Result<u32, Error> {
        let tag = Tag::ContextSpecific { constructed: false, number: TagNumber(number) };
        let Some(value) = parts.next_if(|own| own == tag) else { return Ok(0) };
        let number = AnyRef::new(Tag::Integer, value.value())?.decode_as::<u16>()?;
        Ok(u32::from(number))
    };
    let (millis, micros) = (fraction(0)?, fraction(1)?);
    let seconds = SignedDuration::from_secs(i64::from(seconds.unwrap_or_default()));
    let fraction =
        SignedDuration::from_millis(i64::from(millis)) + SignedDuration::from_micros(i64::from(micros));
    Ok(seconds + fraction)
}

/// A time such as `20260101000000.25Z`.
fn generalized(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (digits, fraction) = text.split_once('.').map_or((text, None), |(digits, rest)| (digits, Some(rest)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.len() != 14
        || !is_number(digits)
        || fraction.is_some_and(|part| !is_number(part) || part.len() > 9)
    {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let (date, time) = ([part(0, 4), part(4, 6), part(6, 8)], [part(8, 10), part(10, 12), part(12, 14)]);
    let fraction = fraction.map(|part| format!(".{part}")).unwrap_or_default();
    format!("{}T{}{fraction}Z", date.join("-"), time.join(":")).parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar_with_fractions_of_seconds() {
        for (text, expected) in [
            ("20260228235959Z", Some("2026-02-28T23:59:59Z")),
            ("20260228235959.25Z", Some("2026-02-28T23:59:59.25Z")),
            ("20260229000000Z", None),
            ("20260228235959", None),
            ("20260228235959+0100", None),
            ("202602282359Z", None),
            ("20260228235959.Z", None),
            ("2026022823595é", None),
            ("+0260228235959Z", None),
        ] {
            let expected = expected.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(generalized(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_an_authority_knows_of_its_clock_is_added_up() {
        for (value, expected) in [
            (&[][..], Some(SignedDuration::ZERO)),
            (&[2, 1, 5], Some(SignedDuration::from_secs(5))),
            (&[2, 1, 1, 0x80, 2, 1, 0xf4, 0x81, 1, 7], Some(SignedDuration::from_micros(1_500_007))),
            (&[0x81, 1, 7], Some(SignedDuration::from_micros(7))),
            (&[2, 1, 0xff], None),
            (&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ] {
            assert_eq!(accuracy_of(value).ok(), expected, "{value:?}");
        }
    }
}

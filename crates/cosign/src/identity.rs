//! Who may have signed without a key: patterns of the issuers and names in certificates.

use regex::{Regex, RegexBuilder};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

use crate::text::shown;

/// Identities that one spec may name.
pub const MAX_IDENTITIES: usize = 32;
/// Bytes that a pattern may take once it is compiled.
pub const PATTERN_BYTES: usize = 1 << 18;

/// The name of an identity that is neither an address of mail nor a URI (Fulcio, "OID information").
const OTHER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// Why identities cannot be matched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A pattern is no regular expression, or one that is too large.
    #[error("malformed {part} in identity: {pattern} : {why}")]
    Pattern {
        /// What it is for: issuer or subject.
        part: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// There are too many.
    #[error("more than {MAX_IDENTITIES} identities")]
    TooMany,
}

/// The identities of a spec. One that matches is enough.
#[derive(Clone, Debug)]
pub struct Identities(Vec<Patterns>);

#[derive(Clone, Debug)]
struct Patterns {
    issuer: Regex,
    subject: Regex,
}

/// What a certificate says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Who vouches for the names.
    pub issuer: String,
    /// The names.
    pub subjects: Vec<String>,
}

impl Identities {
    /// From patterns of issuers and subjects, which match anywhere unless they say otherwise.
    ///
    /// # Errors
    /// For what cannot be compiled, and for too many.
    pub fn new<'a>(
        patterns: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Identities, IdentityError> {
        let mut identities = Vec::new();
        for (issuer, subject) in patterns {
            if identities.len() == MAX_IDENTITIES {
                return Err(IdentityError::TooMany);
            }
            let (issuer, subject) = (compiled("issuer", issuer)?, compiled("subject", subject)?);
            identities.push(Patterns { issuer, subject });
        }
        Ok(Identities(identities))
    }

    /// Whether none is named.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is that of the owner of a certificate.
    pub(crate) fn matches(&self, owner: &Owner) -> bool {
        self.0.iter().any(|patterns| {
            patterns.issuer.is_match(&owner.issuer)
                && owner.subjects.iter().any(|subject| patterns.subject.is_match(subject))
        })
    }
}

fn compiled(part: &'static str, pattern: &str) -> Result<Regex, IdentityError> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build();
    built.map_err(|error| {
        // Its last line says what is wrong, those before show where.
        let why = error.to_string().lines().last().unwrap_or_default().to_owned();
        IdentityError::Pattern { part, pattern: shown(pattern), why }
    })
}

/// The names in a certificate; `None` if it is none that can be read.
pub(crate) fn subjects(der: &[u8]) -> Option<Vec<String>> {
    let certificate = Certificate::from_der(der).ok()?;
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok()?;
    let names = names.map(|(_, names)| names.0).unwrap_or_default();
    Some(names.iter().filter_map(name).collect())
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::Rfc822Name(name) => Some(name.to_string()),
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        GeneralName::OtherName(OtherName { type_id, value }) if *type_id == OTHER_NAME => {
            value.decode_as::<Utf8StringRef<'_>>().ok().map(|name| name.as_str().to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn owner(issuer: &str, subjects: &[&str]) -> Owner {
        let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        Owner { issuer: issuer.to_owned(), subjects }
    }

    #[test]
    fn issuer_and_subject_of_one_identity_match_anywhere_unless_they_are_anchored() {
        let one = owner("https://accounts.example.com", &["ci@example.com", "https://ci.example.com/x"]);
        for (patterns, expected) in [
            (&[("example", "ci@")][..], true),
            (&[("^https://accounts[.]example[.]com$", "^https://ci[.]example[.]com/x$")], true),
            (&[("^accounts", "ci@")], false),
            (&[("example", "^example")], false),
            (&[("other", ".*"), (".*", "other")], false),
            (&[("other", "other"), ("example", "example")], true),
            (&[("", "")], true),
            (&[], false),
        ] {
            let identities = Identities::new(patterns.iter().copied()).unwrap();
            assert_eq!(identities.matches(&one), expected, "{patterns:?}");
        }
        let nobody = owner("https://accounts.example.com", &[]);
        assert!(!Identities::new([("", "")]).unwrap().matches(&nobody));
    }

    #[test]
    fn patterns_have_limits_and_what_is_wrong_with_one_is_told() {
        let error =
            |issuer: &str, subject: &str| Identities::new([(issuer, subject)]).unwrap_err().to_string();
        assert_eq!(error("(", "a"), "malformed issuer in identity: ( : error: unclosed group");
        assert_eq!(error("a", "["), "malformed subject in identity: [ : error: unclosed character class");
        let large = error("a", "a{1000}{1000}");
        assert!(
            large.starts_with("malformed subject in identity: a{1000}{1000} : Compiled regex exceeds"),
            "{large}"
        );
        let many = |count| Identities::new(std::iter::repeat_n(("a", "b"), count));
        assert!(many(MAX_IDENTITIES).is_ok());
        assert_eq!(many(MAX_IDENTITIES + 1).unwrap_err(), IdentityError::TooMany);
    }
}

//! Keys, certificates, passwords, and what is random.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gotemplate::{Budget, Error, Limits, MissingKey, Run, Set, Value};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

const NOW: i64 = 1_700_000_000;

/// Random bytes that follow from a seed.
struct Seeded(AtomicU64);

impl sprig::Host for Seeded {
    fn now(&self) -> (i64, u32) {
        (NOW, 0)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        for byte in bytes {
            // Knuth's generator.
            let next = |seed: u64| {
                seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
            };
            let seed =
                self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seed| Some(next(seed))).unwrap();
            *byte = u8::try_from(seed >> 56).unwrap();
        }
        Ok(())
    }
}

fn render(source: &str) -> Result<String, String> {
    let host: Arc<dyn sprig::Host> = Arc::new(Seeded(AtomicU64::new(1)));
    let mut set = Set::new("t", sprig::functions(&host), Limits::default(), MissingKey::Zero);
    set.parse("t", source.as_bytes()).unwrap();
    let text = set.execute(&Run::new(Budget::default(), &|| false), "t", Value::Nil);
    text.map(|text| text.to_string()).map_err(|error| error.to_string())
}

fn der(text: &str) -> Vec<u8> {
    pem::parse(text).unwrap().into_contents()
}

#[test]
fn what_is_random_follows_from_the_host() {
    let source = "{{randAlphaNum 8}} {{randAlpha 8}} {{randNumeric 8}} {{randInt 5 9}} {{shuffle `abcdef`}} {{uuidv4}} {{randBytes 4}}";
    let text = render(source).unwrap();
    assert_eq!(render(source).unwrap(), text);
    let words: Vec<&str> = text.split(' ').collect();
    let [mixed, letters, digits, number, shuffled, uuid, bytes] = words.as_slice() else { panic!("{text}") };
    assert!(mixed.len() == 8 && mixed.chars().all(|c| c.is_ascii_alphanumeric()), "{mixed}");
    assert!(letters.len() == 8 && letters.chars().all(|c| c.is_ascii_alphabetic()), "{letters}");
    assert!(digits.len() == 8 && digits.chars().all(|c| c.is_ascii_digit()), "{digits}");
    assert!((5..9).contains(&number.parse::<i64>().unwrap()));
    let mut sorted: Vec<char> = shuffled.chars().collect();
    sorted.sort_unstable();
    assert_eq!(sorted.into_iter().collect::<String>(), "abcdef");
    assert_eq!(uuid.len(), 36);
    assert_eq!((uuid.get(14..15), uuid.get(8..9)), (Some("4"), Some("-")));
    assert!(matches!(uuid.get(19..20), Some("8" | "9" | "a" | "b")), "{uuid}");
    assert_eq!(bytes.len(), 8);
    let all = render("{{randAscii 2000}}").unwrap();
    assert_eq!((' '..='~').find(|c| !all.contains(*c)), None);
}

#[test]
fn certificates_say_what_was_asked_for() {
    let text = render(
        r#"{{$ca := genCA "authority" 365}}{{$c := genSignedCert "name" (list "10.0.0.1" "::1") (list "a.example" "*.b") 10 $ca}}
           {{- $ca.Cert}}|{{$ca.Key}}|{{$c.Cert}}|{{$c.Key}}"#,
    )
    .unwrap();
    let parts: Vec<&str> = text.split('|').collect();
    let [authority, authority_key, certificate, key] = parts.as_slice() else { panic!("{text}") };
    assert!(
        authority_key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n")
            && key.ends_with("-----END RSA PRIVATE KEY-----\n")
    );
    let (authority, certificate) = (der(authority), der(certificate));
    let authority = parse_x509_certificate(&authority).unwrap().1;
    let certificate = parse_x509_certificate(&certificate).unwrap().1;
    authority.verify_signature(None).unwrap();
    certificate.verify_signature(Some(authority.public_key())).unwrap();
    assert_eq!(authority.subject().to_string(), "CN=authority");
    assert_eq!(
        (certificate.subject().to_string(), certificate.issuer().to_string()),
        ("CN=name".into(), "CN=authority".into())
    );
    let days = |certificate: &X509Certificate<'_>| {
        let validity = certificate.validity();
        assert_eq!(validity.not_before.timestamp(), NOW);
        (validity.not_after.timestamp() - NOW) / 86_400
    };
    assert_eq!((days(&authority), days(&certificate)), (365, 10));
    assert!(authority.is_ca() && !certificate.is_ca());
    for (certificate, signs) in [(&authority, true), (&certificate, false)] {
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert_eq!(
            (usage.key_encipherment(), usage.digital_signature(), usage.key_cert_sign()),
            (true, true, signs)
        );
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth);
    }
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let v6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(
        names.value.general_names,
        [
            GeneralName::DNSName("a.example"),
            GeneralName::DNSName("*.b"),
            GeneralName::IPAddress(&[10, 0, 0, 1]),
            GeneralName::IPAddress(&v6)
        ]
    );
}

#[test]
fn every_kind_of_key_signs_and_stays_what_it_is() {
    for (kind, begin) in [("ecdsa", "EC PRIVATE KEY"), ("ed25519", "PRIVATE KEY"), ("rsa", "RSA PRIVATE KEY")]
    {
        let text = render(&format!(
            r#"{{{{$k := genPrivateKey "{kind}"}}}}{{{{$c := genSelfSignedCertWithKey "n" nil nil 1 $k}}}}{{{{eq $c.Key $k}}}}|{{{{$k}}}}|{{{{$c.Cert}}}}"#
        ))
        .unwrap();
        let parts: Vec<&str> = text.split('|').collect();
        let [is_same, key, certificate] = parts.as_slice() else { panic!("{text}") };
        assert_eq!(*is_same, "true", "{kind}");
        assert!(key.starts_with(&format!("-----BEGIN {begin}-----\n")), "{key}");
        let certificate = der(certificate);
        parse_x509_certificate(&certificate).unwrap().1.verify_signature(None).unwrap();
    }
}

#[test]
fn passwords_and_ciphers_are_those_of_sprig() {
    for (source, expected) in [
        (r#"{{derivePassword 1 "long" "password" "user" "example.com"}}"#, "ZedaFaxcZaso9*"),
        (r#"{{derivePassword 2 "maximum" "password" "user" "example.com"}}"#, "O8-6Bwz1*I5XVPPq)@H!"),
        (r#"{{encryptAES "key" "plain text" | decryptAES "key"}}"#, "plain text"),
        (r#"{{decryptAES "secretkey" "30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ="}}"#, "plaintext"),
        (r#"{{htpasswd "a:b" "p"}}"#, "invalid username: a:b"),
        (r#"{{adler32sum "Wikipedia"}}"#, "300286872"),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
    let hash = render(r#"{{htpasswd "user" "secret"}}"#).unwrap();
    let hash = hash.strip_prefix("user:").unwrap();
    assert!(hash.starts_with("$2a$10$") && bcrypt::verify("secret", hash).unwrap(), "{hash}");
    for (source, error) in [
        (r#"{{decryptAES "k" "YWJj"}}"#, "slice bounds out of range [:16]"),
        (r#"{{genCAWithKey "c" 1 "x"}}"#, "parsing private key: no PEM data in input"),
        (r#"{{genSelfSignedCert "c" (list "x") nil 1}}"#, "error parsing ip: x"),
        (r#"{{buildCustomCert "eA==" "eA=="}}"#, "unable to decode certificate"),
    ] {
        let result = render(source);
        assert!(result.as_ref().is_err_and(|found| found.contains(error)), "{source}: {result:?}");
    }
}

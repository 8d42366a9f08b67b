//! The certificate authorities that an image trusts.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Where programs look for them.
pub const PATH: &str = "etc/ssl/certs/ca-certificates.crt";
/// Characters in a line of PEM (RFC 7468).
const LINE: usize = 64;

/// The authorities of the Mozilla root program, of the version that `Cargo.lock` pins, as PEM.
pub fn pem() -> String {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|certificate| certificate_pem(certificate)).collect()
}

fn certificate_pem(der: &[u8]) -> String {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (place, character) in BASE64_STANDARD.encode(der).char_indices() {
        if place > 0 && place % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + "\n-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters() {
        let lines: Vec<usize> = certificate_pem(&[0; 60]).lines().map(str::len).collect();
        assert_eq!(lines, [27, 64, 16, 25]);
    }

    #[test]
    fn all_authorities_are_there() {
        let pem = pem();
        assert_eq!(pem.matches("BEGIN").count(), webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(pem.matches("END").count() > 100);
    }
}

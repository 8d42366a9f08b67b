//! Private keys, in the form in which Go writes them.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{error::Unspecified, rsa};
use gotemplate::Error;
use gotemplate::value::Type;
use pem::{EncodeConfig, LineEnding, Pem};
use pkcs8::PrivateKeyInfoRef;

use crate::call::Table;

/// What a key of RSA takes, in steps: on average the larger takes ten times as long.
const STEPS_2048: usize = 1_000_000;
const STEPS_4096: usize = 8_000_000;

/// What a key of a curve takes, in steps.
const STEPS_CURVE: usize = 10_000;

pub(super) fn add(table: &mut Table) {
    table.add("genPrivateKey", &[Type::String], Type::String, |call| {
        let kind = String::from_utf8_lossy(call.text(0));
        let key = match &*kind {
            "" | "rsa" => {
                call.context.step(STEPS_4096)?;
                rsa_key(KeySize::Rsa4096)
            }
            "ecdsa" => {
                call.context.step(STEPS_CURVE)?;
                ecdsa_key()
            }
            "ed25519" => {
                call.context.step(STEPS_CURVE)?;
                ed25519_key()
            }
            // Nothing takes them any more.
            "dsa" => return call.string("failed to generate dsa params: DSA is not supported"),
            _ => return call.string(format!("Unknown type {kind}")),
        };
        let failed = |_| Error::from("failed to generate private key");
        call.string(encode(&key.map_err(failed)?))
    });
}

/// A key of RSA with 2048 bits.
pub(super) fn generate_rsa(call: &crate::call::Call<'_>) -> Result<Pem, Error> {
    call.context.step(STEPS_2048)?;
    rsa_key(KeySize::Rsa2048).map_err(|_| "error generating rsa key".into())
}

fn rsa_key(size: KeySize) -> Result<Pem, Unspecified> {
    let pair = rsa::KeyPair::generate(size)?;
    let document: Pkcs8V1Der<'_> = pair.as_der()?;
    Ok(Pem::new("RSA PRIVATE KEY", inner(document.as_ref())?))
}

fn ecdsa_key() -> Result<Pem, Unspecified> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
    // SEC 1: a version, the key, the curve and the public key.
    const HEAD: &[u8] = &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
    const CURVE: &[u8] = &[0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const PUBLIC: &[u8] = &[0xa1, 0x44, 0x03, 0x42, 0x00];
    let document = [HEAD, private.as_ref(), CURVE, PUBLIC, pair.public_key().as_ref()].concat();
    Ok(Pem::new("EC PRIVATE KEY", document))
}

fn ed25519_key() -> Result<Pem, Unspecified> {
    let pair = Ed25519KeyPair::generate()?;
    let document: Pkcs8V1Der<'_> = pair.as_der()?;
    Ok(Pem::new("PRIVATE KEY", document.as_ref()))
}

/// The key within PKCS #8.
fn inner(document: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let info = PrivateKeyInfoRef::try_from(document).map_err(|_| Unspecified)?;
    Ok(info.private_key.as_bytes().to_vec())
}

pub(super) fn encode(pem: &Pem) -> String {
    pem::encode_config(pem, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// A private key out of PEM, as a key that can sign and as the text that Go writes of it.
pub(super) fn parse(text: &[u8]) -> Result<(rcgen::KeyPair, String), String> {
    let pem = pem::parse(text).map_err(|_| "no PEM data in input")?;
    let words = match pem.tag() {
        "PRIVATE KEY" => "decoding PEM as PKCS#8:",
        "RSA PRIVATE KEY" => "parsing RSA private key from PEM:",
        "EC PRIVATE KEY" => "parsing EC private key from PEM:",
        tag => {
            return Err(match tag.strip_suffix(" PRIVATE KEY") {
                Some(kind) => format!("invalid private key type {kind}"),
                None => format!("no private key data in PEM block of type {tag}"),
            });
        }
    };
    let pair = rcgen::KeyPair::from_pem(&encode(&Pem::new(pem.tag(), pem.contents())));
    let pair = pair.map_err(|error| format!("{words} {error}"))?;
    let is_rsa = pair.algorithm() == &rcgen::PKCS_RSA_SHA256;
    let written = match (pem.tag(), is_rsa) {
        ("PRIVATE KEY", true) => {
            let inner = inner(pem.contents()).map_err(|_| format!("{words} malformed"))?;
            Pem::new("RSA PRIVATE KEY", inner)
        }
        (tag, _) => Pem::new(tag, pem.contents()),
    };
    Ok((pair, encode(&written)))
}

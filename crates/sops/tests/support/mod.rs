//! Documents for tests: those that SOPS has made, and those that are made here.
#![allow(dead_code)]

use std::path::PathBuf;

use aes_gcm::aead::{Aead, KeyInit, Payload, consts::U32};
use aes_gcm::{AesGcm, Nonce, aes::Aes256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sops::{DataKey, Document, Format, KeyBytes, KeyError, KeyService, Limits, MacCheck, MasterKey, Plain};

/// A document of `tests/fixtures`.
pub struct Fixture {
    pub name: String,
    pub format: Format,
    pub encrypted: Vec<u8>,
    pub plain: Vec<u8>,
    pub key: DataKey,
}

pub fn fixtures() -> Vec<Fixture> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let read =
        |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let keys = String::from_utf8(read("data-keys")).unwrap();
    keys.lines()
        .map(|line| {
            let (name, key) = line.split_once(' ').unwrap();
            let bytes = key
                .as_bytes()
                .chunks(2)
                .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
            Fixture {
                name: name.to_owned(),
                format: Format::of_name(name),
                encrypted: read(&format!("{name}.enc")),
                plain: read(&format!("{name}.plain")),
                key: DataKey::new(KeyBytes::new(bytes.collect::<Vec<_>>())),
            }
        })
        .collect()
}

pub fn fixture(name: &str) -> Fixture {
    fixtures().into_iter().find(|fixture| fixture.name == name).unwrap()
}

/// The key of documents that are made here.
pub const KEY: [u8; 32] = [7; 32];

pub fn key() -> DataKey {
    DataKey::new(KeyBytes::new(KEY.to_vec()))
}

/// An encrypted value. `place` is `a:b:`.
pub fn seal(plain: impl AsRef<[u8]>, kind: &str, place: &str) -> String {
    let nonce = Nonce::<U32>::from([9; 32]);
    let cipher = AesGcm::<Aes256, U32>::new_from_slice(&KEY).unwrap();
    let sealed = cipher.encrypt(&nonce, Payload { msg: plain.as_ref(), aad: place.as_bytes() }).unwrap();
    let (data, tag) = sealed.split_at(sealed.len() - 16);
    let [data, iv, tag] = [data, &nonce, tag].map(|bytes| BASE64_STANDARD.encode(bytes));
    format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]")
}

/// Metadata of JSON and YAML alike, with further fields.
pub fn metadata(fields: &str) -> String {
    format!(
        r#"{{"lastmodified": "2026-01-02T03:04:05Z", "mac": "", "age": [{{"recipient": "age1x", "enc": "wrapped"}}], "version": "3.13.3"{fields}}}"#
    )
}

/// A document in JSON of these fields.
pub fn document(content: &str, fields: &str) -> String {
    format!("{{{content}, \"sops\": {}}}", metadata(fields))
}

pub fn parse(text: &str, format: Format) -> Document {
    Document::parse(text.as_bytes(), format, &Limits::default())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What [`document`] decrypts to, or why not.
pub fn decrypt(content: &str, fields: &str) -> Result<String, String> {
    let plain = parse(&document(content, fields), Format::Json).decrypt(&key(), MacCheck::Ignore);
    plain.map(|plain| text(&plain, Format::Json)).map_err(|error| error.to_string())
}

pub fn text(plain: &Plain, format: Format) -> String {
    String::from_utf8(plain.emit(format).unwrap().to_vec()).unwrap()
}

/// A key service made of a function.
pub struct Service<F>(pub F);

impl<F: Fn(&MasterKey) -> Result<KeyBytes, KeyError>> KeyService for Service<F> {
    fn unwrap(&self, key: &MasterKey) -> Result<KeyBytes, KeyError> {
        self.0(key)
    }
}

//! The three places where something is decrypted.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use apply::{manager::Manager, mask::Mask, policy::decrypt_disabled};
use base64::{Engine, engine::general_purpose::STANDARD};
use kustomize::flux::Usage;
use serde_json::Value;
use sops::{DataKeyError, Document, EmitError, Format, KeyService, Limits, MacCheck, ParseError, Plain};

/// Why something cannot be decrypted. No text holds anything that was encrypted.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// It is no document of SOPS.
    #[error("failed to load encrypted {format} data: {source}")]
    Parse {
        /// How it is written.
        format: Format,
        /// What is wrong.
        source: ParseError,
    },
    /// No key fits.
    #[error("cannot get sops data key: {source}\n\n{tried}")]
    DataKey {
        /// Which keys were tried, and why each does not fit.
        source: DataKeyError,
        /// Where keys were looked for.
        tried: String,
    },
    /// The key fits, a value does not.
    #[error("error decrypting sops tree: {0}")]
    Tree(#[from] sops::DecryptError),
    /// The plain text cannot be written like this.
    #[error("failed to emit encrypted {from} file as decrypted {to}: {source}")]
    Emit {
        /// How it was written.
        from: Format,
        /// How it was to be written.
        to: Format,
        /// What is wrong.
        source: EmitError,
    },
    /// Encrypted values, and nothing to decrypt them with.
    #[error(
        "it holds values that sops has encrypted, without the metadata to decrypt them: its file was cut off or edited"
    )]
    Cut,
    /// Of an object.
    #[error("failed to decrypt and format '{object}' {kind} data: {source}")]
    Object {
        /// `<namespace>/<name>`.
        object: String,
        /// Its kind.
        kind: String,
        /// What is wrong.
        source: Box<DecryptError>,
    },
    /// Of one value of a Secret.
    #[error("failed to decrypt and format '{object}' Secret field '{field}': {source}")]
    Field {
        /// `<namespace>/<name>`.
        object: String,
        /// Name of the value.
        field: String,
        /// What is wrong.
        source: Box<DecryptError>,
    },
}

/// Decrypts for one build.
///
/// # Caveats
/// - A document's MAC is not looked at, as in Flux: kustomize has changed most objects before they are decrypted.
/// - A Secret with values that nothing decrypts is refused, other than in Flux, which applies the cipher text.
pub struct Sops<'a> {
    keys: &'a dyn KeyService,
    /// Where keys were looked for, in the words of messages.
    tried: String,
    manager: Manager,
    limits: Limits,
    /// All that was decrypted.
    decrypted: Mutex<Vec<Vec<u8>>>,
}

impl<'a> Sops<'a> {
    /// With these keys, for objects of `manager`. `tried` says where the keys are from.
    pub fn new(keys: &'a dyn KeyService, tried: String, manager: Manager) -> Self {
        Self { keys, tried, manager, limits: Limits::default(), decrypted: Mutex::default() }
    }

    /// What was decrypted so far, to be left out of messages.
    pub fn secrets(&self) -> Mask {
        Mask::new(self.decrypted.lock().unwrap_or_else(PoisonError::into_inner).iter())
    }

    /// A built object with all that is encrypted in it decrypted: the object itself, or the values of a Secret.
    ///
    /// # Errors
    /// See [`DecryptError`].
    pub fn object(&self, mut object: Value) -> Result<Value, DecryptError> {
        if decrypt_disabled(&object, &self.manager) {
            return Ok(object);
        }
        if object.pointer("/sops/mac").is_some_and(is_given) {
            let decrypted = self.document(Document::from_json(&object, &self.limits), Format::Json);
            let decrypted = decrypted.and_then(|plain| {
                let emit = |source| DecryptError::Emit { from: Format::Json, to: Format::Json, source };
                plain.into_json().map_err(emit)
            });
            return decrypted.map_err(|source| {
                let kind = text(&object, "/kind").to_owned();
                DecryptError::Object { object: name(&object), kind, source: Box::new(source) }
            });
        }
        if text(&object, "/kind") == "Secret" {
            self.secret(&mut object)?;
        }
        Ok(object)
    }

    fn secret(&self, object: &mut Value) -> Result<(), DecryptError> {
        let shown = name(object);
        let failure = |field: &String, source| DecryptError::Field {
            object: shown.clone(),
            field: field.clone(),
            source: Box::new(source),
        };
        let data = object.get_mut("data").and_then(Value::as_object_mut);
        for (field, value) in data.into_iter().flatten() {
            let Some(plain) = value.as_str().map(|value| self.value(field, value)) else { continue };
            if let Some(plain) = plain.map_err(|source| failure(field, source))? {
                *value = plain.into();
            }
        }
        // These values are the API server's to encode, and in Flux none of them is decrypted.
        let data = object.get("stringData").and_then(Value::as_object);
        for (field, value) in data.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().as_bytes();
            if Format::of_marker(value).is_none() {
                not_cut(value).map_err(|source| failure(field, source))?;
            }
        }
        Ok(())
    }

    /// One value of a Secret, in base64. What is none the API server will tell of.
    fn value(&self, field: &str, value: &str) -> Result<Option<String>, DecryptError> {
        // Go's decoder ignores line breaks.
        let Ok(content) = STANDARD.decode(value.replace(['\r', '\n'], "")) else {
            return not_cut(value.as_bytes()).map(|()| None);
        };
        let Some(from) = Format::of_marker(&content) else { return not_cut(&content).map(|()| None) };
        let plain = self.bytes(&content, from, Format::of_name(field))?;
        Ok(Some(STANDARD.encode(plain)))
    }

    fn bytes(&self, content: &[u8], from: Format, to: Format) -> Result<Arc<[u8]>, DecryptError> {
        let plain = self.document(Document::parse(content, from, &self.limits), from)?;
        let emitted = plain.emit(to).map_err(|source| DecryptError::Emit { from, to, source })?;
        Ok(emitted.as_slice().into())
    }

    fn document(
        &self,
        document: Result<Document, ParseError>,
        format: Format,
    ) -> Result<Plain, DecryptError> {
        let document = document.map_err(|source| DecryptError::Parse { format, source })?;
        let key = document.metadata().data_key(self.keys);
        let key = key.map_err(|source| DecryptError::DataKey { source, tried: self.tried.clone() })?;
        let plain = document.decrypt(&key, MacCheck::Ignore)?;
        let mut decrypted = self.decrypted.lock().unwrap_or_else(PoisonError::into_inner);
        decrypted.extend(plain.secrets().map(<[u8]>::to_vec));
        Ok(plain)
    }
}

impl kustomize::flux::Decryptor for Sops<'_> {
    fn decrypt(
        &self,
        name: &str,
        usage: Usage,
        content: &[u8],
    ) -> Result<Option<Arc<[u8]>>, Box<dyn Error + Send + Sync>> {
        let format = match Format::of_name(name) {
            Format::Binary if usage == Usage::Env => Format::Dotenv,
            format => format,
        };
        if !format.has_marker(content) {
            return Ok(None);
        }
        Ok(Some(self.bytes(content, format, format)?))
    }
}

fn not_cut(value: &[u8]) -> Result<(), DecryptError> {
    if Format::is_cipher_text(value) { Err(DecryptError::Cut) } else { Ok(()) }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn name(object: &Value) -> String {
    format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// What kustomize does not take for nothing.
fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kustomize::flux::Decryptor;
    use serde_json::json;
    use sops::{KeyBytes, KeyError, MasterKey};

    use super::*;

    /// A fixture of the crate `sops`: what the program has encrypted, or what it prints.
    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../sops/tests/fixtures/", $name))
        };
    }

    /// Gives the data key of one document, whoever has wrapped it.
    struct DataKeyOf(&'static str);

    impl KeyService for DataKeyOf {
        fn unwrap(&self, _key: &MasterKey) -> Result<KeyBytes, KeyError> {
            let keys = fixture!("data-keys").lines();
            let hex = keys.filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == self.0);
            let hex = hex.ok_or_else(|| KeyError::new("no key fits"))?.1.trim();
            let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap();
            Ok(KeyBytes::new((0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()))
        }
    }

    fn object(document: &'static str, object: &Value) -> Result<Value, String> {
        let keys = DataKeyOf(document);
        Sops::new(&keys, "where".to_owned(), crate::MANAGER)
            .object(object.clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_with_metadata_of_sops_is_decrypted_unless_it_says_otherwise() {
        let mut encrypted: Value = serde_json::from_str(fixture!("encrypted_regex.json.enc")).unwrap();
        let meta = json!({"name": "a", "namespace": "ns"});
        for (field, value) in [("kind", json!("Any")), ("apiVersion", json!("v1")), ("metadata", meta)] {
            encrypted.as_object_mut().unwrap().insert(field.to_owned(), value);
        }
        let plain: Value = serde_json::from_str(fixture!("encrypted_regex.json.plain")).unwrap();
        let decrypted = object("encrypted_regex.json", &encrypted).unwrap();
        assert_eq!(decrypted.get("a"), plain.get("a"));
        assert_eq!((decrypted.get("sops"), text(&decrypted, "/metadata/name")), (None, "a"));

        let error = object("none", &encrypted).unwrap_err();
        let start = "failed to decrypt and format 'ns/a' Any data: cannot get sops data key: ";
        assert!(error.starts_with(start) && error.contains("no key fits"), "{error}");

        let disabled = json!({"kustomize.toolkit.fluxcd.io/decrypt": "Disabled"});
        encrypted
            .pointer_mut("/metadata")
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert("annotations".into(), disabled);
        assert_eq!(object("none", &encrypted).unwrap(), encrypted);
    }

    #[test]
    fn values_of_a_secret_are_decrypted_as_their_names_say() {
        let secret = |data: Value| json!({"kind": "Secret", "metadata": {"name": "a"}, "data": data});
        let encode = |text: &str| STANDARD.encode(text);
        let encrypted = encode(fixture!("default.env.enc"));
        let folded = format!("{}\r\n{}\n", &encrypted[..76], &encrypted[76..]);
        for (name, value, expected) in [
            ("a.env", json!(encrypted), json!(encode(fixture!("default.env.plain")))),
            ("a.env", json!(folded), json!(encode(fixture!("default.env.plain")))),
            ("plain", json!(encode("plain")), json!(encode("plain"))),
            ("odd", json!("*** sops_mac=ENC["), json!("*** sops_mac=ENC[")),
            ("odd", json!(1), json!(1)),
        ] {
            let decrypted = object("default.env", &secret(json!({ name: value }))).unwrap();
            assert_eq!(decrypted, secret(json!({ name: expected })));
        }
        let error = object("none", &secret(json!({"a.env": encrypted}))).unwrap_err();
        assert!(
            error.starts_with("failed to decrypt and format '/a' Secret field 'a.env': cannot get"),
            "{error}"
        );
        // Of other kinds they are left alone.
        let map = json!({"kind": "ConfigMap", "data": {"a.env": encrypted}});
        assert_eq!(object("none", &map).unwrap(), map);
    }

    #[test]
    fn a_secret_with_values_that_nothing_decrypts_is_refused() {
        let whole = fixture!("default.env.enc");
        let cut = &whole[..whole.find("sops_").unwrap()];
        let secret = |field: &str, data: &str| json!({"kind": "Secret", "metadata": {"name": "a"}, field: {"a.env": data}});
        let text = "failed to decrypt and format '/a' Secret field 'a.env': it holds values that sops has encrypted, \
            without the metadata to decrypt them: its file was cut off or edited";
        for (field, value) in [
            ("data", STANDARD.encode(cut)),
            ("data", cut.to_owned()),
            ("data", STANDARD.encode(&cut[..cut.find(",iv:").unwrap()])),
            ("stringData", cut.to_owned()),
        ] {
            let mut secret = secret(field, &value);
            assert_eq!(object("default.env", &secret).unwrap_err(), text, "{secret}");
            let disabled = json!({"kustomize.toolkit.fluxcd.io/decrypt": "Disabled"});
            *secret.pointer_mut("/metadata").unwrap() = json!({"name": "a", "annotations": disabled});
            assert_eq!(object("default.env", &secret).unwrap(), secret);
        }
        // Whole documents are for whoever reads them, and other kinds are no business of decryption.
        let entire = secret("stringData", whole);
        assert_eq!(object("default.env", &entire).unwrap(), entire);
        let map = json!({"kind": "ConfigMap", "data": {"a.env": cut}});
        assert_eq!(object("default.env", &map).unwrap(), map);
    }

    #[test]
    fn a_file_is_read_as_its_name_and_use_say_and_its_values_are_kept_out_of_messages() {
        let (content, plain) = (fixture!("default.env.enc"), fixture!("default.env.plain"));
        let keys = DataKeyOf("default.env");
        for (name, usage, expected) in [
            ("a.env", Usage::Value, Some(plain)),
            ("a", Usage::Env, Some(plain)),
            ("a", Usage::Value, None),
            ("a.yaml", Usage::Patch, None),
        ] {
            let sops = Sops::new(&keys, "where".to_owned(), crate::MANAGER);
            let decrypted = sops.decrypt(name, usage, content.as_bytes()).unwrap();
            assert_eq!(decrypted.as_deref(), expected.map(str::as_bytes), "{name}");
            let shown = sops.secrets().apply("the value \"x=y\" is none");
            assert_eq!(shown.contains("x=y"), expected.is_none(), "{name}: {shown}");
        }
    }
}

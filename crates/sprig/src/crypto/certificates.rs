//! Certificates of X.509.

use std::net::IpAddr;
use std::sync::Arc;

use ::time::OffsetDateTime;
use gotemplate::value::{Object, Text, Type};
use gotemplate::{Error, Value};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};

use super::keys;
use crate::call::{Call, LIST, Outcome, Table};
use crate::encodings::decode_base64;
use crate::host::Host;

const TEXT: Type = Type::String;
const CERTIFICATE: Type = Type::Named("sprig.certificate");

const SECONDS_PER_DAY: i64 = 86_400;

/// The calendar of certificates ends with the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a signature takes, in steps.
const STEPS: usize = 50_000;

/// A certificate and its private key, both as PEM.
struct Certificate {
    certificate: Text,
    key: Text,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Object for Certificate {
    fn go_type(&self) -> &'static str {
        "sprig.certificate"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Cert", self.certificate.clone().into()), ("Key", self.key.clone().into())]
    }
}

/// What a certificate is made for; names and addresses are lists of strings or `nil`.
struct Request<'a> {
    name: &'a [u8],
    addresses: &'a Value,
    names: &'a Value,
    days: i64,
    is_authority: bool,
}

pub(super) fn add(table: &mut Table, host: &Arc<dyn Host>) {
    table.add("buildCustomCert", &[TEXT, TEXT], CERTIFICATE, build_custom);
    for with_key in [false, true] {
        let mut function =
            |name: &str,
             parameters: &[Type],
             body: fn(&Call<'_>, &dyn Host, (KeyPair, String)) -> Outcome| {
                let (name, given) = match with_key {
                    true => (format!("{name}WithKey"), Some(parameters.len())),
                    false => (name.to_owned(), None),
                };
                let parameters = [parameters, if with_key { &[TEXT] } else { &[] }].concat();
                let host = host.clone();
                table.add(&name, &parameters, CERTIFICATE, move |call| {
                    let key = match given {
                        Some(index) => keys::parse(call.text(index))
                            .map_err(|error| Error::from(format!("parsing private key: {error}")))?,
                        None => keys::parse(keys::encode(&keys::generate_rsa(call)?).as_bytes())?,
                    };
                    body(call, &*host, key)
                });
            };
        function("genCA", &[TEXT, Type::Int], |call, host, key| {
            let (nothing, days) = (&Value::Nil, call.int(1));
            let name = call.text(0);
            let request = Request { name, addresses: nothing, names: nothing, days, is_authority: true };
            sign(call, host, &request, key, None)
        });
        function("genSelfSignedCert", &[TEXT, LIST, LIST, Type::Int], |call, host, key| {
            sign(call, host, &request(call), key, None)
        });
        function("genSignedCert", &[TEXT, LIST, LIST, Type::Int, CERTIFICATE], |call, host, key| {
            let authority = call.value(4).downcast::<Certificate>();
            sign(call, host, &request(call), key, Some(authority.ok_or("unable to decode certificate")?))
        });
    }
}

fn request<'a>(call: &Call<'a>) -> Request<'a> {
    Request {
        name: call.text(0),
        addresses: call.value(1),
        names: call.value(2),
        days: call.int(3),
        is_authority: false,
    }
}

/// The items of a list that must be strings.
fn strings(call: &Call<'_>, list: &Value, bad: impl Fn(&Text) -> String) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    for item in crate::convert::items(list).unwrap_or_default() {
        match &item {
            Value::String(text) => texts.push(text.to_string()),
            other => return Err(bad(&call.context.print(std::slice::from_ref(other))?).into()),
        }
    }
    call.context.step(texts.iter().map(String::len).sum())?;
    Ok(texts)
}

fn parameters(call: &Call<'_>, host: &dyn Host, request: &Request<'_>) -> Result<CertificateParams, Error> {
    let addresses =
        strings(call, request.addresses, |item| format!("error parsing ip: {item} is not a string"))?;
    let addresses = addresses.iter().map(|text| match text.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Err(Error::from(format!("error parsing ip: {text}"))),
    });
    let mut alternatives = addresses.collect::<Result<Vec<_>, _>>()?;
    let names = strings(call, request.names, |item| {
        format!("error processing alternate dns name: {item} is not a string")
    })?;
    let names = names.into_iter().map(|name| match name.as_str().try_into() {
        Ok(encoded) => Ok(SanType::DnsName(encoded)),
        Err(_) => {
            let shown = strconv::quote(name.as_bytes());
            Err(Error::from(format!(
                "error creating certificate: x509: {shown} cannot be encoded as an IA5String"
            )))
        }
    });
    let names = names.collect::<Result<Vec<_>, _>>()?;
    alternatives.splice(0..0, names);

    let mut serial = [0; 16];
    host.fill(&mut serial)?;
    let (now, _) = host.now();
    let end = now.saturating_add(request.days.saturating_mul(SECONDS_PER_DAY));
    let end = end.clamp(0, LAST_SECOND);
    let mut parameters = CertificateParams::default();
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    parameters.not_before = OffsetDateTime::from_unix_timestamp(now).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    parameters.not_after = OffsetDateTime::from_unix_timestamp(end).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, String::from_utf8_lossy(request.name).as_ref());
    parameters.distinguished_name = name;
    parameters.subject_alt_names = alternatives;
    parameters.key_usages = vec![KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.is_ca = IsCa::ExplicitNoCa;
    if request.is_authority {
        parameters.key_usages.push(KeyUsagePurpose::KeyCertSign);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    Ok(parameters)
}

fn sign(
    call: &Call<'_>,
    host: &dyn Host,
    request: &Request<'_>,
    (pair, key): (KeyPair, String),
    authority: Option<&Certificate>,
) -> Outcome {
    call.context.step(STEPS)?;
    let failed = |error: rcgen::Error| Error::from(format!("error creating certificate: {error}"));
    let signed = match authority {
        None => parameters(call, host, request)?.self_signed(&pair),
        Some(authority) => {
            let der = pem::parse(&*authority.certificate).map_err(|_| "unable to decode certificate")?;
            let (authority_pair, _) = keys::parse(&authority.key)
                .map_err(|error| Error::from(format!("error parsing private key: {error}")))?;
            let mut parameters = parameters(call, host, request)?;
            parameters.use_authority_key_identifier_extension = true;
            let issuer =
                Issuer::from_ca_cert_der(&der.contents().into(), authority_pair).map_err(|error| {
                    Error::from(format!("error parsing certificate: decodedSignerCert.Bytes: {error}"))
                })?;
            parameters.signed_by(&pair, &issuer)
        }
    };
    let certificate = keys::encode(&pem::Pem::new("CERTIFICATE", &**signed.map_err(failed)?.der()));
    finished(call, certificate.into(), key.into())
}

fn finished(call: &Call<'_>, certificate: Text, key: Text) -> Outcome {
    call.context.charge(certificate.len() + key.len())?;
    Ok(Value::object(Certificate { certificate, key }))
}

/// A certificate and a key that are there, both as PEM in base64.
fn build_custom(call: &Call<'_>) -> Outcome {
    call.context.step(STEPS)?;
    let certificate = decode_base64(call.text(0)).map_err(|_| "unable to decode base64 certificate")?;
    let key = decode_base64(call.text(1)).map_err(|_| "unable to decode base64 private key")?;
    let der = pem::parse(&certificate).map_err(|_| "unable to decode certificate")?;
    if let Err(error) = x509_parser::parse_x509_certificate(der.contents()) {
        return Err(format!("error parsing certificate: decodedCert.Bytes: {error}").into());
    }
    keys::parse(&key).map_err(|error| Error::from(format!("error parsing private key: {error}")))?;
    finished(call, certificate.into(), key.into())
}

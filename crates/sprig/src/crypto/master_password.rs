//! Passwords that follow from a master password: the algorithm of Master Password.

use aws_lc_rs::hmac;
use gotemplate::Error;
use gotemplate::value::Type;

use crate::call::{Call, Outcome, Table};

/// What tells this use from others.
const SCOPE: &[u8] = b"com.lyndir.masterpassword";

/// Two to this power blocks.
const SCRYPT_LOG_N: u8 = 15;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 2;

/// The bytes that it takes while it runs.
const MEMORY: usize = (128 * SCRYPT_R as usize) << SCRYPT_LOG_N;

/// What a password takes, in steps.
const STEPS: usize = 3_000_000;

/// The forms of the passwords of a type: each letter stands for one of a set.
const FORMS: [(&str, &[&str]); 6] = [
    ("maximum", &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
    (
        "long",
        &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
    ),
    ("medium", &["CvcnoCvc", "CvcCvcno"]),
    ("short", &["Cvcn"]),
    ("basic", &["aaanaaan", "aannaaan", "aaannaaa"]),
    ("pin", &["nnnn"]),
];

fn set_of(letter: u8) -> &'static [u8] {
    match letter {
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

pub(super) fn add(table: &mut Table) {
    let parameters = [Type::Uint32, Type::String, Type::String, Type::String, Type::String];
    table.add("derivePassword", &parameters, Type::String, derive);
}

/// A text after its length.
fn prefixed(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), text].concat()
}

fn derive(call: &Call<'_>) -> Outcome {
    let counter = match call.value(0) {
        gotemplate::Value::Uint64(counter) => u32::try_from(*counter).unwrap_or_default(),
        _ => 0,
    };
    let kind = String::from_utf8_lossy(call.text(1));
    let Some((_, forms)) = FORMS.iter().find(|(name, _)| *name == kind) else {
        return call.string(format!("cannot find password template {kind}"));
    };
    let (password, user, site) = (call.text(2), call.text(3), call.text(4));
    call.context.step(STEPS + (password.len() + user.len() + site.len()) / 64)?;
    let failed = || Error::from("failed to derive password");
    let parameters = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).map_err(|_| failed())?;
    call.context.charge(MEMORY)?;
    let mut key = [0; 64];
    let salt = [SCOPE, &prefixed(user)].concat();
    scrypt::scrypt(password, &salt, &parameters, &mut key).map_err(|_| failed())?;
    call.context.give_back(MEMORY);
    let message = [SCOPE, &prefixed(site), &counter.to_be_bytes()].concat();
    let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message);
    let (first, rest) = seed.as_ref().split_first().ok_or_else(failed)?;
    let form = forms.get(usize::from(*first) % forms.len()).copied().unwrap_or_default();
    let letters = form.bytes().zip(rest).map(|(letter, byte)| {
        let set = set_of(letter);
        set.get(usize::from(*byte) % set.len()).copied().unwrap_or_default()
    });
    call.string(letters.collect::<Vec<u8>>())
}

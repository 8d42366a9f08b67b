//! Input made to do harm: nothing panics, nothing is verified, nothing takes long.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::SystemTime;

use support::{Gpg, Ssh, check};
use verification::{Keys, Limits, SignedObject, verify};

/// A small generator, so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize
    }
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (index, chunk) in data.chunks(3).enumerate() {
        if index > 0 && index % 16 == 0 {
            text.push('\n');
        }
        let word = chunk.iter().chain([&0, &0]).take(3).fold(0, |word, byte| word << 8 | usize::from(*byte));
        for digit in 0..4 {
            let value = DIGITS[word >> (18 - 6 * digit) & 63] as char;
            text.push(if digit > chunk.len() { '=' } else { value });
        }
    }
    text
}

fn armored(kind: &str, data: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n\n{}\n-----END {kind}-----\n", base64(data))
}

#[test]
fn changed_and_truncated_signatures_and_rings_are_refused_without_panic() {
    let gpg = Gpg::new();
    let key = gpg.key("me", "ed25519", "sign", "never");
    let payload = b"object 1\n\nm\n";
    let signature = gpg.run(&["--detach-sign", "--local-user", &key], payload);
    let ring = gpg.run(&["--export"], b"");
    let object = |data: &[u8]| {
        let text = armored("PGP SIGNATURE", data);
        SignedObject::tag(&[payload, text.as_bytes()].concat())
    };
    let good_ring = armored("PGP PUBLIC KEY BLOCK", &ring);
    check(&object(&signature), &[("k", &good_ring)]).unwrap();
    let mut random = Random(1);
    for round in 0..600 {
        let (mut a, mut b) = (signature.clone(), ring.clone());
        let target = if round % 2 == 0 { &mut a } else { &mut b };
        if round % 3 == 0 {
            target.truncate(random.next() % target.len());
        } else {
            for _ in 0..=round % 4 {
                let at = random.next() % target.len();
                target[at] = random.next() as u8;
            }
        }
        // What is changed may be of no consequence; what must not be is that the payload changes.
        let _ = check(&object(&a), &[("k", &armored("PGP PUBLIC KEY BLOCK", &b))]);
        let other = [b"object 2\n\nm\n", armored("PGP SIGNATURE", &a).as_bytes()].concat();
        check(&SignedObject::tag(&other), &[("k", &armored("PGP PUBLIC KEY BLOCK", &b))]).unwrap_err();
    }
}

#[test]
fn changed_ssh_signatures_are_refused_without_panic() {
    let ssh = Ssh::new();
    let key = ssh.key("k", &["-t", "ecdsa"]);
    let tag = ssh.tag("k", "git", &[]);
    check(&tag, &[("k.sshpub", &key)]).unwrap();
    let mut random = Random(2);
    for _ in 0..300 {
        let mut text = tag.signature().as_bytes().to_vec();
        for _ in 0..2 {
            let at = 30 + random.next() % (text.len() - 60);
            text[at] = b"AZaz09+/=\n \xff"[random.next() % 12];
        }
        let raw = [b"object 2\n\nm\n", &text[..]].concat();
        check(&SignedObject::tag(&raw), &[("k.sshpub", &key)]).unwrap_err();
    }
}

#[test]
fn garbage_is_refused() {
    let mut random = Random(3);
    for length in [0, 1, 2, 7, 100, 10_000] {
        let noise: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let noise_text = String::from_utf8_lossy(&noise).into_owned();
        for kind in ["PGP SIGNATURE", "SSH SIGNATURE", "PGP MESSAGE"] {
            for body in [armored(kind, &noise), format!("-----BEGIN {kind}-----\n{noise_text}")] {
                let tag = SignedObject::tag(&[b"object 1\n\n", body.as_bytes()].concat());
                let ring = armored("PGP PUBLIC KEY BLOCK", &noise);
                check(&tag, &[("k", &ring), ("k.sshpub", &noise_text), ("x", &noise_text)]).unwrap_err();
            }
        }
        let commit = SignedObject::commit(&noise);
        check(&commit, &[("k", &noise_text)]).unwrap_err();
    }
}

#[test]
fn signatures_nested_in_signatures_end_early() {
    // A v4 signature whose only subpacket is a signature whose only subpacket is …
    let mut packet = Vec::new();
    for _ in 0..500 {
        let length = packet.len() + 1;
        let mut body = vec![4, 0x18, 22, 8];
        let area = [&[255][..], &(length as u32).to_be_bytes(), &[32], &packet].concat();
        body.extend_from_slice(&(area.len() as u16).to_be_bytes());
        body.extend_from_slice(&area);
        body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0]);
        packet = body;
    }
    let packet = [&[0xc2, 255][..], &(packet.len() as u32).to_be_bytes(), &packet].concat();
    let gpg = Gpg::new();
    gpg.key("me", "ed25519", "sign", "never");
    let raw = [b"object 1\n\n", armored("PGP SIGNATURE", &packet).as_bytes()].concat();
    check(&SignedObject::tag(&raw), &[("k", &gpg.export(&[]))]).unwrap_err();
    let ring = armored("PGP PUBLIC KEY BLOCK", &packet);
    check(&SignedObject::tag(&raw), &[("k", &ring)]).unwrap_err();
}

#[test]
fn limits_hold() {
    let gpg = Gpg::new();
    let key = gpg.key("me", "ed25519", "sign", "never");
    let payload = b"object 1\n\nm\n";
    let signature = gpg.run(&["--detach-sign", "--local-user", &key], payload);
    let ring = gpg.export(&[]);
    let keys = Keys::new([("k", ring.as_bytes())]);
    let two = [&payload[..], armored("PGP SIGNATURE", &signature.repeat(2)).as_bytes()].concat();
    let object = SignedObject::tag(&two);
    let with = |limits: Limits| verify(&object, &keys, SystemTime::now(), &limits).map_err(|e| e.to_string());
    with(Limits { signatures: 2, payload: payload.len(), ..Limits::default() }).unwrap();
    let text = with(Limits { signatures: 1, ..Limits::default() }).unwrap_err();
    assert!(text.ends_with("no matching key"), "{text}");
    let text = with(Limits { payload: payload.len() - 1, ..Limits::default() }).unwrap_err();
    assert_eq!(text, "object of more than 11 bytes");
    let text = with(Limits { signature: 100, ..Limits::default() }).unwrap_err();
    assert_eq!(text, "signature of more than 100 bytes");
}

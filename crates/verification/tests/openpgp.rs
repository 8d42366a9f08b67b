//! What makes an OpenPGP signature good, with keys and signatures of GnuPG.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::SystemTime;

use support::{DAY, Gpg, Repository, Ssh, check, check_at, id};
use verification::SignedObject;

const NO_MATCH: &str = "unable to verify payload with any of the given key rings: no matching key";

fn refused(object: &SignedObject, keys: &[(&str, &str)]) -> String {
    check(object, keys).unwrap_err().to_string()
}

#[test]
fn commits_and_tags_that_git_signed_are_verified() {
    let gpg = Gpg::new();
    let key = gpg.key("me", "ed25519", "sign", "never");
    let repository = Repository::with_gpg(&gpg, &key);
    let message = "subject\n\n-----BEGIN PGP SIGNATURE-----\nnot one\n gpgsig\n\ntrailing  ";
    repository.git(&["commit", "-q", "-S", "--allow-empty", "-m", message, "--cleanup=verbatim"]);
    repository.git(&["-c", "i18n.commitEncoding=latin1", "commit", "-q", "-S", "--allow-empty", "-m", "two"]);
    repository.git(&["tag", "-s", "v1", "-m", "release"]);
    let ring = gpg.export(&[]);
    let keys = [("me.asc", ring.as_str())];
    for revision in ["HEAD~1", "HEAD"] {
        let commit = SignedObject::commit(&repository.object("commit", revision));
        assert_eq!(check(&commit, &keys).unwrap(), id(&key));
    }
    let tag = SignedObject::tag(&repository.object("tag", "v1"));
    assert_eq!(check(&tag, &keys).unwrap(), id(&key));
}

#[test]
fn a_signed_tag_does_not_vouch_for_the_signature_of_its_commit() {
    let gpg = Gpg::new();
    let key = gpg.key("me", "ed25519", "sign", "never");
    let repository = Repository::with_gpg(&gpg, &key);
    repository.git(&["commit", "-q", "--allow-empty", "-m", "unsigned"]);
    repository.git(&["tag", "-s", "v1", "-m", "release"]);
    let ring = gpg.export(&[]);
    let tag = SignedObject::tag(&repository.object("tag", "v1"));
    check(&tag, &[("k", &ring)]).unwrap();
    let commit = SignedObject::commit(&repository.object("commit", "HEAD"));
    assert_eq!(refused(&commit, &[("k", &ring)]), "unsupported signature type: empty");
}

#[test]
fn a_signature_copied_to_another_commit_is_refused() {
    let gpg = Gpg::new();
    let key = gpg.key("me", "ed25519", "sign", "never");
    let repository = Repository::with_gpg(&gpg, &key);
    repository.git(&["commit", "-q", "-S", "--allow-empty", "-m", "good"]);
    let raw = String::from_utf8(repository.object("commit", "HEAD")).unwrap();
    let ring = gpg.export(&[]);
    check(&SignedObject::commit(raw.as_bytes()), &[("k", &ring)]).unwrap();
    for (from, to) in
        [("good", "evil"), ("tree 4", "tree 5"), ("Me <", "Eve <"), ("\n\n", "\nencoding x\n\n")]
    {
        let changed = raw.replacen(from, to, 1);
        assert_ne!(changed, raw);
        let commit = SignedObject::commit(changed.as_bytes());
        let expected =
            format!("unable to verify Git commit: {NO_MATCH} (key {} did not sign this)", id(&key));
        assert_eq!(refused(&commit, &[("k", &ring)]), expected);
    }
}

#[test]
fn any_of_several_rings_and_blocks_may_hold_the_key() {
    let gpg = Gpg::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| gpg.key(name, "ed25519", "sign", "never"));
    let tag = gpg.tag(&c, &[]);
    let [a, b, ring] = [&a, &b, &c].map(|key| gpg.export(&[key]));
    let all = format!("a comment\n{a}\n{b}\nanother\r\n{ring}");
    for keys in [
        &[("a.asc", a.as_str()), ("bad.asc", "nonsense"), ("c", ring.as_str())][..],
        &[("all.asc", all.as_str())],
        &[("all", gpg.export(&[]).as_str())],
        &[("broken.asc", format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n{ring}").as_str())],
    ] {
        assert_eq!(check(&tag, keys).unwrap(), id(&c));
    }
    let text = refused(&tag, &[("a.asc", &a), ("bad.asc", "nonsense"), ("b.asc", &b)]);
    assert_eq!(text, format!("unable to verify Git tag: {NO_MATCH}"));
}

#[test]
fn an_unreadable_ring_is_reported_when_there_is_no_other() {
    let gpg = Gpg::new();
    let tag = gpg.tag(&gpg.key("a", "ed25519", "sign", "never"), &[]);
    let text = refused(&tag, &[("bad.asc", "nonsense")]);
    assert_eq!(
        text,
        "unable to verify Git tag: unable to read armored key ring: openpgp: invalid argument: no armored data found"
    );
    let ring = gpg.export(&[]);
    for bad in [&ring[..ring.len() / 2], "-----BEGIN PGP PUBLIC KEY BLOCK-----", tag.signature()] {
        let text = refused(&tag, &[("bad.asc", bad)]);
        assert!(text.starts_with("unable to verify Git tag: unable to read armored key ring: "), "{text}");
    }
}

#[test]
fn keys_of_the_other_kind_are_named_as_missing() {
    let (gpg, ssh) = (Gpg::new(), Ssh::new());
    let tag = gpg.tag(&gpg.key("a", "ed25519", "sign", "never"), &[]);
    let key = ssh.key("k", &["-t", "ed25519"]);
    let text = "PGP signature detected but no PGP public keys found in secret (keys with .asc suffix)";
    assert_eq!(refused(&tag, &[("k.sshpub", &key)]), text);
    assert_eq!(refused(&tag, &[]), text);
}

#[test]
fn the_algorithms_of_gnupg_are_understood() {
    let gpg = Gpg::new();
    for algorithm in ["rsa2048", "rsa4096", "dsa2048", "ed25519", "nistp256", "nistp384", "nistp521"] {
        let key = gpg.key(algorithm, algorithm, "sign", "never");
        let verdict = check(&gpg.tag(&key, &[]), &[("k", &gpg.export(&[&key]))]);
        assert_eq!(verdict.map_err(|e| e.to_string()), Ok(id(&key)), "{algorithm}");
    }
}

#[test]
fn weak_hashes_are_refused_but_sha1_counts_as_it_does_for_flux() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "rsa2048", "sign", "never");
    let ring = gpg.export(&[]);
    for hash in ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"] {
        assert_eq!(
            check(&gpg.tag(&key, &["--digest-algo", hash]), &[("k", &ring)]).unwrap(),
            id(&key),
            "{hash}"
        );
    }
    let tag = gpg.tag(&key, &["--digest-algo", "RIPEMD160"]);
    assert!(refused(&tag, &[("k", &ring)]).ends_with("has used a weak hash)"));
}

#[test]
fn signatures_over_text_and_by_secret_rings_count() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "ed25519", "sign", "never");
    assert_eq!(check(&gpg.tag(&key, &["--textmode"]), &[("k", &gpg.export(&[]))]).unwrap(), id(&key));
    let secret = String::from_utf8(gpg.run(&["--armor", "--export-secret-keys"], b"")).unwrap();
    assert_eq!(check(&gpg.tag(&key, &[]), &[("k", &secret)]).unwrap(), id(&key));
}

#[test]
fn a_signature_by_one_known_key_of_two_is_enough() {
    let gpg = Gpg::new();
    let [a, b] = ["a", "b"].map(|name| gpg.key(name, "ed25519", "sign", "never"));
    let tag = gpg.tag(&a, &["--local-user", &b]);
    for key in [&a, &b] {
        assert_eq!(check(&tag, &[("k", &gpg.export(&[key]))]).unwrap(), id(key));
    }
    let other = Gpg::new();
    other.key("c", "ed25519", "sign", "never");
    assert!(refused(&tag, &[("k", &other.export(&[]))]).ends_with("no matching key"));
}

#[test]
fn a_subkey_signs_for_its_primary_key() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "ed25519", "cert", "never");
    gpg.run(&["--quick-add-key", &key, "ed25519", "sign", "1d"], b"");
    let tag = gpg.tag("a", &[]);
    let ring = gpg.export(&[]);
    assert_eq!(check(&tag, &[("k", &ring)]).unwrap(), id(&key));
    let later = check_at(&tag, &[("k", &ring)], SystemTime::now() + 2 * DAY).unwrap_err().to_string();
    assert!(later.ends_with(&format!("(key {} is expired)", id(&key))), "{later}");
    gpg.run(&["--command-fd", "0", "--edit-key", &key], b"key 1\nrevkey\ny\n0\n\ny\nsave\n");
    assert!(refused(&tag, &[("k", &gpg.export(&[]))]).ends_with("is revoked)"));
}

#[test]
fn a_subkey_that_is_bound_to_another_key_does_not_sign_for_it() {
    // The subkey of `a` moved below the primary key of `b`.
    let gpg = Gpg::new();
    let [a, b] = ["a", "b"].map(|name| gpg.key(name, "ed25519", "cert", "never"));
    for key in [&a, &b] {
        gpg.run(&["--quick-add-key", key, "ed25519", "sign", "never"], b"");
    }
    let tag = gpg.tag("a", &[]);
    let stolen = gpg.run(&["--export", &a], b"");
    let mut mixed = gpg.run(&["--export", &b], b"");
    let subkey = stolen.windows(2).rposition(|w| w == [0xb8, 0x33]).unwrap();
    mixed.extend_from_slice(&stolen[subkey..]);
    let ring = String::from_utf8(gpg.run(&["--enarmor"], &mixed)).unwrap();
    let ring = ring.replace("ARMORED FILE", "PUBLIC KEY BLOCK");
    assert!(refused(&tag, &[("k", &ring)]).ends_with(&format!("(key {} is not bound to its owner)", id(&b))));
    assert_eq!(check(&tag, &[("k", &gpg.export(&[&a]))]).unwrap(), id(&a));
}

#[test]
fn a_key_counts_until_it_expires() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "ed25519", "sign", "2d");
    let (tag, ring) = (gpg.tag(&key, &[]), gpg.export(&[]));
    let now = SystemTime::now();
    assert_eq!(check_at(&tag, &[("k", &ring)], now + DAY).unwrap(), id(&key));
    let text = check_at(&tag, &[("k", &ring)], now + 3 * DAY).unwrap_err().to_string();
    assert_eq!(text, format!("unable to verify Git tag: {NO_MATCH} (key {} is expired)", id(&key)));
    // Before it was made, it is none either.
    assert!(check_at(&tag, &[("k", &ring)], now - DAY).is_err());
    // Its owner can prolong it.
    gpg.run(&["--quick-set-expire", &key, "9d"], b"");
    assert_eq!(check_at(&tag, &[("k", &gpg.export(&[]))], now + 3 * DAY).unwrap(), id(&key));
}

#[test]
fn a_signature_counts_until_it_expires() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "ed25519", "sign", "never");
    let (tag, ring) = (gpg.tag(&key, &["--default-sig-expire", "2d"]), gpg.export(&[]));
    let now = SystemTime::now();
    assert_eq!(check_at(&tag, &[("k", &ring)], now + DAY).unwrap(), id(&key));
    let text = check_at(&tag, &[("k", &ring)], now + 3 * DAY).unwrap_err().to_string();
    assert!(text.ends_with("has made a signature that is expired)"), "{text}");
}

#[test]
fn a_signature_older_than_its_key_is_refused() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "ed25519", "sign", "never");
    let options = ["--faked-system-time", "20200101T000000", "--ignore-time-conflict", "--ignore-valid-from"];
    let tag = gpg.tag(&key, &options);
    assert!(refused(&tag, &[("k", &gpg.export(&[]))]).ends_with("is newer than the signature)"));
}

#[test]
fn a_revoked_key_or_user_id_does_not_count() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "ed25519", "sign", "never");
    let tag = gpg.tag(&key, &[]);
    gpg.run(&["--quick-add-uid", &key, "b"], b"");
    gpg.run(&["--quick-revoke-uid", &key, "a"], b"");
    assert_eq!(check(&tag, &[("k", &gpg.export(&[]))]).unwrap(), id(&key));

    let home = support::id(&key);
    let revocation = gpg.revocation(&key);
    gpg.run(&["--import"], revocation.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    assert!(refused(&tag, &[("k", &gpg.export(&[]))]).ends_with(&format!("(key {home} is revoked)")));
}

#[test]
fn a_key_that_is_not_for_signatures_does_not_count() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "rsa2048", "sign", "never");
    let tag = gpg.tag(&key, &[]);
    gpg.run(&["--command-fd", "0", "--edit-key", &key], b"change-usage\ns\nq\nsave\n");
    assert!(refused(&tag, &[("k", &gpg.export(&[]))]).ends_with("is not for signatures)"));
}

#[test]
fn armor_is_taken_as_it_comes_but_not_for_something_else() {
    let gpg = Gpg::new();
    let key = gpg.key("a", "ed25519", "sign", "never");
    let (tag, ring) = (gpg.tag(&key, &[]), gpg.export(&[]));
    let payload = String::from_utf8(tag.payload().to_vec()).unwrap();
    let with = |signature: &str| {
        let raw = format!("{payload}{signature}");
        check(&SignedObject::tag(raw.as_bytes()), &[("k", &ring)])
    };
    let good = tag.signature().to_owned();
    let head = "-----BEGIN PGP SIGNATURE-----\n";
    with(&good.replace('\n', "\r\n")).unwrap();
    with(&good.replace(head, &format!("{head}Comment: hello\nVersion: 1\n"))).unwrap();
    with(&format!("{good}trailing words\n")).unwrap();
    for bad in [
        head.to_owned(),
        good.replace("SIGNATURE", "MESSAGE"),
        format!("{head}{}", ring.split_once('\n').unwrap().1.replace("PUBLIC KEY BLOCK", "SIGNATURE")),
        good[..good.len() / 2].to_owned(),
    ] {
        let text = with(&bad).unwrap_err().to_string();
        assert!(text.ends_with("no matching key") || text == "unsupported signature type: unknown", "{text}");
    }
    assert_eq!(
        with("-----BEGIN SIGNED MESSAGE-----\nx\n").unwrap_err().to_string(),
        "unsupported signature type: x509"
    );
}

//! What makes an SSH signature good, with keys and signatures of OpenSSH.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use support::{Gpg, Repository, Ssh, check};
use verification::SignedObject;

const NO_MATCH: &str = "unable to verify Git tag SSH signature: unable to verify payload with any of the given authorized keys: no matching key";

fn refused(object: &SignedObject, keys: &[(&str, &str)]) -> String {
    check(object, keys).unwrap_err().to_string()
}

#[test]
fn commits_and_tags_that_git_signed_are_verified() {
    let ssh = Ssh::new();
    let key = ssh.key("k", &["-t", "ed25519"]);
    let repository = Repository::with_ssh(&ssh, "k");
    repository.git(&["commit", "-q", "-S", "--allow-empty", "-m", "one"]);
    repository.git(&["tag", "-s", "v1", "-m", "release"]);
    let keys = [("me.sshpub", key.as_str())];
    let commit = SignedObject::commit(&repository.object("commit", "HEAD"));
    assert_eq!(check(&commit, &keys).unwrap(), ssh.fingerprint("k"));
    let tag = SignedObject::tag(&repository.object("tag", "v1"));
    assert_eq!(check(&tag, &keys).unwrap(), ssh.fingerprint("k"));
    let raw = String::from_utf8(repository.object("commit", "HEAD")).unwrap();
    let changed = SignedObject::commit(raw.replace("one", "two").as_bytes());
    assert_eq!(
        refused(&changed, &keys),
        format!("{NO_MATCH}\nsignature did not verify").replace("tag", "commit")
    );
}

#[test]
fn every_type_of_key_and_both_hashes_count() {
    let ssh = Ssh::new();
    for options in [
        &["-t", "ed25519"][..],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "4096"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
    ] {
        let name = options.concat();
        let key = ssh.key(&name, options);
        for hash in ["sha256", "sha512"] {
            let tag = ssh.tag(&name, "git", &["-O", &format!("hashalg={hash}")]);
            assert_eq!(check(&tag, &[("k.sshpub", &key)]).unwrap(), ssh.fingerprint(&name), "{name} {hash}");
        }
    }
}

#[test]
fn short_rsa_keys_are_refused() {
    let ssh = Ssh::new();
    let key = ssh.key("k", &["-t", "rsa", "-b", "1024"]);
    assert_eq!(
        refused(&ssh.tag("k", "git", &[]), &[("k.sshpub", &key)]),
        format!("{NO_MATCH}\nRSA key is too short")
    );
}

#[test]
fn a_signature_for_another_purpose_is_refused() {
    let ssh = Ssh::new();
    let key = ssh.key("k", &["-t", "ed25519"]);
    for namespace in ["file", "Git", "git\n", "gi"] {
        let tag = ssh.tag("k", namespace, &[]);
        assert_eq!(
            refused(&tag, &[("k.sshpub", &key)]),
            format!("{NO_MATCH}\nnamespace does not match"),
            "{namespace}"
        );
    }
}

#[test]
fn any_entry_may_hold_the_key_and_a_bad_line_voids_only_its_own() {
    let ssh = Ssh::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| ssh.key(name, &["-t", "ed25519"]));
    let tag = ssh.tag("c", "git", &[]);
    let all = format!("# keys\n{a}\n{b}{c}");
    assert_eq!(check(&tag, &[("all.sshpub", &all)]).unwrap(), ssh.fingerprint("c"));
    let keys = [("a.sshpub", a.as_str()), ("bad.sshpub", "nonsense"), ("c.sshpub", c.as_str())];
    assert_eq!(check(&tag, &keys).unwrap(), ssh.fingerprint("c"));
    let spoiled = format!("{c}\nnonsense\n");
    assert_eq!(
        refused(&tag, &[("a.sshpub", &a), ("c.sshpub", &spoiled)]),
        format!("{NO_MATCH}\npublic key does not match")
    );
    let text = refused(&tag, &[("c.sshpub", &spoiled)]);
    let expected = "unable to verify Git tag SSH signature: unable to parse authorized keys: unable to parse authorized key: ";
    assert!(text.starts_with(expected), "{text}");
    // A key of the right kind under the wrong name counts as OpenPGP.
    let text = "SSH signature detected but no SSH public keys found in secret (keys with .sshpub suffix)";
    assert_eq!(refused(&tag, &[("c.pub", &c)]), text);
}

#[test]
fn a_tag_signed_with_openpgp_and_a_commit_signed_with_ssh_use_one_secret() {
    let (gpg, ssh) = (Gpg::new(), Ssh::new());
    let pgp = gpg.key("me", "ed25519", "sign", "never");
    let key = ssh.key("k", &["-t", "ed25519"]);
    let ring = gpg.export(&[]);
    let keys = [("k.sshpub", key.as_str()), ("me.asc", ring.as_str())];
    assert_eq!(check(&gpg.tag(&pgp, &[]), &keys).unwrap(), support::id(&pgp));
    assert_eq!(check(&ssh.tag("k", "git", &[]), &keys).unwrap(), ssh.fingerprint("k"));
}

#[test]
fn security_keys_are_read_though_none_is_here_to_sign() {
    let ssh = Ssh::new();
    ssh.key("k", &["-t", "ed25519"]);
    let sk = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo= me";
    assert_eq!(
        refused(&ssh.tag("k", "git", &[]), &[("sk.sshpub", sk)]),
        format!("{NO_MATCH}\npublic key does not match")
    );
}

#[test]
fn bytes_that_are_no_signature_are_an_error() {
    let ssh = Ssh::new();
    let key = ssh.key("k", &["-t", "ed25519"]);
    let tag = ssh.tag("k", "git", &[]);
    let payload = String::from_utf8(tag.payload().to_vec()).unwrap();
    let good = tag.signature();
    for bad in [
        "-----BEGIN SSH SIGNATURE-----",
        "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
        "-----BEGIN SSH SIGNATURE-----\n!\n-----END SSH SIGNATURE-----\n",
        &good[..good.len() / 2],
    ] {
        let text = refused(&SignedObject::tag(format!("{payload}{bad}").as_bytes()), &[("k.sshpub", &key)]);
        let expected = "unable to verify Git tag SSH signature: unable to unarmor SSH signature: ";
        assert!(text.starts_with(expected), "{text}");
    }
}

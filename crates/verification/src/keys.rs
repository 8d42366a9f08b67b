//! Public keys as a Secret holds them.

/// The suffix of entries that hold SSH keys; everything else counts as OpenPGP.
pub const SSH_SUFFIX: &str = ".sshpub";

/// Who may sign: armored OpenPGP key rings and `authorized_keys` files, in the order of their names.
///
/// They are public, but what a user has put there by mistake may not be: `Debug` only counts them.
#[derive(Clone, Default)]
pub struct Keys {
    rings: Vec<String>,
    authorized: Vec<String>,
}

impl Keys {
    /// Sorts the entries of a Secret by their names.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Keys {
        let mut keys = Keys::default();
        for (name, value) in entries {
            let text = String::from_utf8_lossy(value).into_owned();
            let list = if name.ends_with(SSH_SUFFIX) { &mut keys.authorized } else { &mut keys.rings };
            list.push(text);
        }
        keys
    }

    pub(crate) fn rings(&self) -> &[String] {
        &self.rings
    }

    pub(crate) fn authorized(&self) -> &[String] {
        &self.authorized
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("rings", &self.rings.len())
            .field("authorized", &self.authorized.len())
            .finish()
    }
}

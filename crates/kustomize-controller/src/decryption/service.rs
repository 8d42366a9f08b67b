//! The keys of a build: those in memory, and those of key services.

use std::error::Error;

use auth::gcp::ServiceAccountKey;
use net::Deadline;
use secret::Secret;
use sops::{AgeIdentities, KeyBytes, KeyError, KeyService, MasterKey, PgpKeys};

use super::{
    clouds::{Caller, Credentials},
    keys::{AGE, Entry, Keys, PGP},
};

/// An entry of the key Secret is of no use.
#[derive(Debug, thiserror::Error)]
#[error("failed to import '{entry}' data from sops {secret}: {cause}")]
pub struct ImportError {
    entry: String,
    secret: String,
    cause: Box<dyn Error + Send + Sync>,
}

/// The keys of one build. Reading and using them blocks.
pub struct KeyRing<'a> {
    age: AgeIdentities,
    pgp: PgpKeys,
    caller: Option<Caller<'a>>,
    keys: &'a Keys,
}

impl<'a> KeyRing<'a> {
    /// Reads all entries. Key services are asked until `deadline`.
    ///
    /// # Errors
    /// For the first that cannot be read.
    pub fn new(keys: &'a Keys, deadline: &'a Deadline) -> Result<Self, ImportError> {
        let mut ring = Self { age: AgeIdentities::default(), pgp: PgpKeys::default(), caller: None, keys };
        let mut credentials = Credentials::default();
        for (entry, name, value) in keys.entries() {
            let imported = ring.import(&mut credentials, entry, value);
            let failed = |cause| ImportError { entry: name.to_owned(), secret: keys.secret(), cause };
            imported.map_err(failed)?;
        }
        let clouds = keys.clouds.as_deref();
        ring.caller = clouds.map(|clouds| Caller::new(clouds, credentials, keys, deadline));
        Ok(ring)
    }

    /// Where keys were looked for, for whoever has one that does not fit.
    pub fn tried(&self) -> String {
        let count = |wanted| self.keys.entries().filter(|(entry, ..)| *entry == wanted).count();
        match self.keys.secret() {
            none if none.is_empty() => {
                "There are no keys of age and OpenPGP: neither spec.decryption.secretRef nor --sops-age-secret is set."
                    .to_owned()
            }
            secret => format!(
                "Keys of age and OpenPGP were looked for in {secret} (*{AGE}: {}, *{PGP}: {}).",
                count(Entry::Age),
                count(Entry::Pgp),
            ),
        }
    }

    fn import(
        &mut self,
        credentials: &mut Credentials,
        entry: Entry,
        value: &[u8],
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let text = || String::from_utf8_lossy(value);
        match entry {
            Entry::Age => self.age.import(&text())?,
            Entry::Pgp => self.pgp.import(&text())?,
            Entry::VaultToken => credentials.vault = Some(Secret::new(text().trim())),
            Entry::Aws => credentials.aws = Some(kms::aws::credentials(&text())?),
            Entry::Azure => credentials.azure = Some(kms::azure::Credentials::parse(value)?),
            Entry::Gcp => credentials.gcp = Some(ServiceAccountKey::parse(text().trim_matches('\n'))?),
        }
        Ok(())
    }
}

impl KeyService for KeyRing<'_> {
    fn unwrap(&self, key: &MasterKey) -> Result<KeyBytes, KeyError> {
        match (key, &self.caller) {
            (MasterKey::Age { wrapped, .. }, _) => self.age.unwrap(wrapped),
            (MasterKey::Pgp { wrapped, .. }, _) => self.pgp.unwrap(wrapped),
            (_, Some(caller)) => caller.unwrap(key),
            (_, None) => Err(KeyError::new("key services are not reached")),
        }
    }
}

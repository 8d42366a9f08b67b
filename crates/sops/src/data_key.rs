//! From wrapped keys to the data key: groups, their order, and what to say when it fails.

use std::fmt;

use crate::keys::{DataKey, KeyBytes, KeyError, KeyService, MasterKey};
use crate::limits::shown;
use crate::metadata::{KeyGroup, Metadata};
use crate::shamir::{self, CombineError};

/// Keys that a message names for each group; a document may have many more.
const SHOWN_KEYS: usize = 20;

/// Columns after which SOPS breaks the message of a key.
const MESSAGE_WIDTH: usize = 60;

/// Why there is no data key.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    /// Too few groups have a key that fits. The text is that of SOPS, and names every key.
    #[error("Failed to get the data key required to decrypt the SOPS file.\n\n{}\n\n{}", Groups(.groups), Trailer(*.threshold, .groups))]
    Groups {
        /// How many groups are needed; 0 where there is one group.
        threshold: usize,
        /// Of each group, nothing if it succeeded.
        groups: Vec<Option<GroupFailure>>,
    },
    /// The shares of the groups do not make a key.
    #[error("could not get data key from shamir parts: {0}")]
    Combine(#[from] CombineError),
}

/// Why no key of a group fits.
#[derive(Debug)]
pub struct GroupFailure {
    /// The first of the keys that were tried.
    pub keys: Vec<KeyFailure>,
    /// How many more there were.
    pub more: usize,
}

/// Why a key does not fit.
#[derive(Debug)]
pub struct KeyFailure {
    /// The key's name.
    pub name: String,
    /// Why not.
    pub error: KeyError,
}

impl Metadata {
    /// The key of the document's values, from the first master key of each group that `service` can use.
    ///
    /// Keys of age are tried first, then those of OpenPGP, then all others, each kind in the order of the document.
    ///
    /// # Errors
    /// Too few groups have a key that fits; the text names every key that was tried.
    pub fn data_key(&self, service: &dyn KeyService) -> Result<DataKey, DataKeyError> {
        let mut parts = Vec::new();
        let mut failures = Vec::new();
        for group in self.groups() {
            match unwrap_group(group, service) {
                Ok(part) => {
                    parts.push(part);
                    failures.push(None);
                }
                Err(failure) => failures.push(Some(failure)),
            }
        }
        if let ([_], [part]) = (self.groups(), parts.as_slice()) {
            return Ok(DataKey::new(part.clone()));
        }
        if parts.len() < self.shamir_threshold().max(1) || self.groups().len() < 2 {
            return Err(DataKeyError::Groups { threshold: self.shamir_threshold(), groups: failures });
        }
        Ok(DataKey::new(shamir::combine(&parts)?))
    }
}

fn unwrap_group(group: &KeyGroup, service: &dyn KeyService) -> Result<KeyBytes, GroupFailure> {
    let mut keys: Vec<&MasterKey> = group.iter().collect();
    keys.sort_by_key(|key| key.rank());
    let mut failure = GroupFailure { keys: Vec::new(), more: 0 };
    for key in keys {
        match service.unwrap(key) {
            Ok(part) => return Ok(part),
            Err(error) if failure.keys.len() < SHOWN_KEYS => {
                failure.keys.push(KeyFailure { name: shown(&key.name()), error });
            }
            Err(_) => failure.more += 1,
        }
    }
    Err(failure)
}

/// The groups as SOPS shows them.
struct Groups<'a>(&'a [Option<GroupFailure>]);

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, group) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            let Some(failure) = group else {
                write!(f, "Group {number}: SUCCESS")?;
                continue;
            };
            write!(f, "Group {number}: FAILED")?;
            for (position, KeyFailure { name, error }) in failure.keys.iter().enumerate() {
                let separator = if position > 0 { "\n\n" } else { "\n" };
                write!(f, "{separator}  {name}: FAILED")?;
                for (position, line) in wrap(&error.to_string(), MESSAGE_WIDTH).lines().enumerate() {
                    let mark = if position == 0 { '-' } else { ' ' };
                    write!(f, "\n    {mark} | {line}")?;
                }
            }
            if failure.more > 0 {
                write!(f, "\n\n  and {} more keys: FAILED", failure.more)?;
            }
        }
        Ok(())
    }
}

/// What would have been needed.
struct Trailer<'a>(usize, &'a [Option<GroupFailure>]);

impl fmt::Display for Trailer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trailer(threshold, groups) = *self;
        let text = if threshold == 0 {
            "Recovery failed because no master key was able to decrypt the file. In order for SOPS to recover the file, at least \
             one key has to be successful, but none were."
                .to_owned()
        } else {
            let successful = groups.iter().filter(|group| group.is_none()).count();
            format!(
                "Recovery failed because the file was encrypted with a Shamir threshold of {threshold}, but only {successful} \
                 part(s) were successfully recovered, one for each successful key group. In order for SOPS to recover the file, at \
                 least {threshold} groups have to be successful. In order for a group to be successful, decryption has to succeed \
                 with any of the keys in that key group."
            )
        };
        f.write_str(&wrap(&text, 75))
    }
}

/// Breaks lines at blanks, so that they have `width` columns if their words do.
fn wrap(text: &str, width: usize) -> String {
    let mut wrapped = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            wrapped.push('\n');
        }
        let mut column = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > width {
                wrapped.push('\n');
                column = 0;
            } else if column > 0 {
                wrapped.push(' ');
                column += 1;
            }
            wrapped.push_str(word);
            column += length;
        }
    }
    wrapped
}

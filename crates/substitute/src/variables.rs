//! The variables of one run.

use std::collections::BTreeMap;
use std::fmt;

use crate::Error;

/// Variables by name. Values may come from Secrets, so they are never shown.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Variables(BTreeMap<String, Vec<u8>>);

impl Variables {
    /// Checks all names and strips newlines from all values. A later pair replaces an earlier one of the same name.
    ///
    /// # Errors
    /// [`Error::VariableName`] for a name outside `[_A-Za-z][_A-Za-z0-9]*`.
    pub fn new<N: Into<String>, V: Into<Vec<u8>>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, Error> {
        let mut variables = BTreeMap::new();
        for (name, value) in pairs {
            let (name, mut value): (String, Vec<u8>) = (name.into(), value.into());
            if !is_name(&name) {
                return Err(Error::VariableName(name));
            }
            value.retain(|byte| *byte != b'\n');
            variables.insert(name, value);
        }
        Ok(Self(variables))
    }

    /// True without variables. Flux then substitutes only under the strategy `Always`.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

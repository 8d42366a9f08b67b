//! `--feature-gates`: behaviour that can be switched by name.

use std::collections::BTreeMap;

/// A gate of Flux 2.9 and what can be done with it here.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Its name.
    pub name: &'static str,
    /// Its value if it is not named.
    pub default: bool,
    /// Whether both values are possible; if not, only the default is.
    pub switchable: bool,
}

/// A value of `--feature-gates` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// There is no such gate.
    #[error("feature-gate '{0}' not supported")]
    Unknown(String),
    /// Neither true nor false.
    #[error("feature-gate '{name}': '{value}' is no boolean")]
    NoBoolean {
        /// Name of the gate.
        name: String,
        /// What was given.
        value: String,
    },
    /// Only its default is possible.
    #[error("feature-gate '{name}' cannot be {value} yet")]
    NotSwitchable {
        /// Name of the gate.
        name: String,
        /// What was given.
        value: bool,
    },
}

/// The values of a process's gates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates(BTreeMap<&'static str, bool>);

impl Gates {
    /// Reads `Name=true,Other=false`, a bare name meaning true.
    ///
    /// # Errors
    /// Names what is unknown, no boolean, or cannot be switched yet: a gate must not be without effect in silence.
    pub fn parse(text: &str, known: &[Gate]) -> Result<Self, GateError> {
        let mut values: BTreeMap<_, _> = known.iter().map(|gate| (gate.name, gate.default)).collect();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, "true"));
            let gate = known.iter().find(|gate| gate.name == name);
            let gate = gate.ok_or_else(|| GateError::Unknown(name.to_owned()))?;
            let no_boolean = |_| GateError::NoBoolean { name: name.to_owned(), value: value.to_owned() };
            let value = value.parse().map_err(no_boolean)?;
            if value != gate.default && !gate.switchable {
                return Err(GateError::NotSwitchable { name: name.to_owned(), value });
            }
            values.insert(gate.name, value);
        }
        Ok(Self(values))
    }

    /// Whether a gate is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Gate; 2] = [
        Gate { name: "Strict", default: true, switchable: true },
        Gate { name: "Later", default: false, switchable: false },
    ];

    #[test]
    fn gates_have_their_defaults_until_they_are_named() {
        let gates = |text| Gates::parse(text, &KNOWN);
        assert!(gates("").is_ok_and(|g| g.is_on("Strict") && !g.is_on("Later")));
        assert!(gates("Strict=false, Later=false").is_ok_and(|g| !g.is_on("Strict")));
        assert!(gates("Strict").is_ok_and(|g| g.is_on("Strict")));
    }

    #[test]
    fn a_gate_without_effect_is_refused() {
        let error =
            |text| Gates::parse(text, &KNOWN).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error("Nonsense=true"), "feature-gate 'Nonsense' not supported");
        assert_eq!(error("Later=true"), "feature-gate 'Later' cannot be true yet");
        assert_eq!(error("Strict=maybe"), "feature-gate 'Strict': 'maybe' is no boolean");
    }
}

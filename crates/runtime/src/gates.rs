//! `--feature-gates`: behaviour that can be switched by name.

use std::collections::BTreeMap;

use crate::flags::boolean;

/// A gate of Flux.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Its name.
    pub name: &'static str,
    /// Its value if it is not named.
    pub default: bool,
    /// Why it may be named but changes nothing any more.
    pub retired: Option<&'static str>,
}

impl Gate {
    /// A gate that can be switched.
    pub const fn new(name: &'static str, default: bool) -> Self {
        Self { name, default, retired: None }
    }

    /// A gate of former versions, with the reason why it changes nothing any more.
    pub const fn retired(name: &'static str, reason: &'static str) -> Self {
        Self { name, default: true, retired: Some(reason) }
    }
}

/// The gate for identities of objects instead of the controller's, which all controllers had.
pub const OBJECT_IDENTITY: Gate = Gate::retired(
    "ObjectLevelWorkloadIdentity",
    "starting with Flux 2.10, the feature is now always enabled. make sure to grant the 'create' RBAC verb for the \
     'serviceaccounts/token' resource in a ClusterRoleBinding for the controller ServiceAccount to use the feature.",
);

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
}

/// The values of a process's gates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    values: BTreeMap<&'static str, bool>,
    /// Names and reasons of the retired ones that were given.
    retired: Vec<(&'static str, &'static str)>,
}

impl Gates {
    /// Reads `Name=true,Other=false`, a bare name meaning true.
    ///
    /// # Errors
    /// Names what is unknown or no boolean.
    pub fn parse(text: &str, known: &[Gate]) -> Result<Self, GateError> {
        let mut retired = Vec::new();
        let mut values: BTreeMap<_, _> = known.iter().map(|gate| (gate.name, gate.default)).collect();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, "true"));
            let gate = known.iter().find(|gate| gate.name == name);
            let gate = gate.ok_or_else(|| GateError::Unknown(name.to_owned()))?;
            let no_boolean = |_| GateError::NoBoolean { name: name.to_owned(), value: value.to_owned() };
            let value = boolean(value).map_err(no_boolean)?;
            match gate.retired {
                Some(reason) => retired.push((gate.name, reason)),
                None => drop(values.insert(gate.name, value)),
            }
        }
        Ok(Self { values, retired })
    }

    /// Whether a gate is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.values.get(name).copied().unwrap_or_default()
    }

    /// All that can be switched, with their values.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.values.iter().map(|(name, value)| (*name, *value))
    }

    /// Logs which gates were given that change nothing any more: none must be without effect in silence.
    pub fn log_retired(&self) {
        for (name, reason) in &self.retired {
            let text = "feature gate is now retired and no longer changes behavior";
            tracing::info!(logger = "setup", "feature-gate" = name, reason, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Gate; 2] = [Gate::new("Strict", true), Gate::retired("Old", "it is always on")];

    #[test]
    fn gates_have_their_defaults_until_they_are_named() {
        let gates = |text| Gates::parse(text, &KNOWN);
        assert!(gates("").is_ok_and(|g| g.is_on("Strict") && g.retired.is_empty()));
        assert!(gates("Strict=false, Old=true").is_ok_and(|g| !g.is_on("Strict")));
        assert!(gates("Strict").is_ok_and(|g| g.is_on("Strict")));
        assert!(gates("Strict=1,Strict=F").is_ok_and(|g| !g.is_on("Strict")));
    }

    #[test]
    fn a_retired_gate_is_on_whatever_is_given() {
        let gates = Gates::parse("Old=false", &KNOWN).unwrap_or_default();
        assert!(gates.is_on("Old"));
        assert_eq!(gates.retired, [("Old", "it is always on")]);
    }

    #[test]
    fn what_is_no_gate_is_refused() {
        let error =
            |text| Gates::parse(text, &KNOWN).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error("Nonsense=true"), "feature-gate 'Nonsense' not supported");
        assert_eq!(error("Strict=maybe"), "feature-gate 'Strict': 'maybe' is no boolean");
    }
}

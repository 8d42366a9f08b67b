//! Verification levels: which checks of a signature must succeed, and which failures are only told (notation specification, "Signature
//! Verification details").

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::quote;

/// What is checked of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The envelope is whole, and its certificates have made the signature.
    Integrity,
    /// The trust policy trusts who has made it.
    Authenticity,
    /// The certificates were valid when it was made.
    AuthenticTimestamp,
    /// It has not expired.
    Expiry,
    /// No certificate is revoked.
    Revocation,
}

/// What the failure of a check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The signature does not count.
    Enforce,
    /// It is told, the signature counts.
    Log,
    /// The check is not made.
    Skip,
}

/// What the failure of each check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    authenticity: Action,
    timestamp: Action,
    expiry: Action,
    revocation: Action,
    /// Nothing is verified.
    skips_all: bool,
}

const STRICT: Level = Level {
    authenticity: Action::Enforce,
    timestamp: Action::Enforce,
    expiry: Action::Enforce,
    revocation: Action::Enforce,
    skips_all: false,
};
const PERMISSIVE: Level =
    Level { timestamp: Action::Log, expiry: Action::Log, revocation: Action::Log, ..STRICT };
const AUDIT: Level = Level { authenticity: Action::Log, ..PERMISSIVE };
const SKIP: Level = Level {
    authenticity: Action::Skip,
    timestamp: Action::Skip,
    expiry: Action::Skip,
    revocation: Action::Skip,
    skips_all: true,
};

/// Why there is no such level. The texts are notation-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// There is none.
    #[error("signature verification level is empty or missing in the trust policy statement")]
    Missing,
    /// Its name is unknown.
    #[error("invalid signature verification level {}", quote(.0))]
    Name(String),
    /// The level `skip` cannot be changed.
    #[error("signature verification level \"skip\" can't be used to customize signature verification")]
    SkipOverride,
    /// There is no such check.
    #[error(
        "verification type {} in custom signature verification is not supported, supported values are \
         [\"integrity\" \"authenticity\" \"authenticTimestamp\" \"expiry\" \"revocation\"]",
        quote(.0)
    )]
    Check(String),
    /// There is no such action.
    #[error(
        "verification action {} in custom signature verification is not supported, supported values are \
         [\"enforce\" \"log\" \"skip\"]",
        quote(.0)
    )]
    Action(String),
    /// Integrity is verified always.
    #[error("\"integrity\" verification can not be overridden in custom signature verification")]
    Integrity,
    /// Only the check of revocation can be left out.
    #[error("\"{0}\" verification can not be skipped in custom signature verification")]
    Skipped(Check),
}

impl Level {
    /// The level `name`, with other actions for some checks.
    ///
    /// # Errors
    /// When there is no such level, check or action, and for a change that is not allowed.
    pub(crate) fn new(name: &str, overrides: &BTreeMap<String, String>) -> Result<Level, LevelError> {
        let mut level = match name {
            "" => return Err(LevelError::Missing),
            "strict" => STRICT,
            "permissive" => PERMISSIVE,
            "audit" => AUDIT,
            "skip" => SKIP,
            _ => return Err(LevelError::Name(name.to_owned())),
        };
        if level.skips_all && !overrides.is_empty() {
            return Err(LevelError::SkipOverride);
        }
        for (check, action) in overrides {
            let check = Check::of(check).ok_or_else(|| LevelError::Check(check.clone()))?;
            let action = Action::of(action).ok_or_else(|| LevelError::Action(action.clone()))?;
            let place = match check {
                Check::Integrity => return Err(LevelError::Integrity),
                Check::Authenticity => &mut level.authenticity,
                Check::AuthenticTimestamp => &mut level.timestamp,
                Check::Expiry => &mut level.expiry,
                Check::Revocation => &mut level.revocation,
            };
            if action == Action::Skip && check != Check::Revocation {
                return Err(LevelError::Skipped(check));
            }
            *place = action;
        }
        Ok(level)
    }

    /// Whether nothing is verified.
    pub fn skips_all(&self) -> bool {
        self.skips_all
    }

    /// What the failure of a check means.
    pub(crate) fn action(&self, check: Check) -> Action {
        match check {
            Check::Integrity => Action::Enforce,
            Check::Authenticity => self.authenticity,
            Check::AuthenticTimestamp => self.timestamp,
            Check::Expiry => self.expiry,
            Check::Revocation => self.revocation,
        }
    }
}

impl Check {
    fn of(name: &str) -> Option<Check> {
        [Check::Integrity, Check::Authenticity, Check::AuthenticTimestamp, Check::Expiry, Check::Revocation]
            .into_iter()
            .find(|check| check.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Check::Integrity => "integrity",
            Check::Authenticity => "authenticity",
            Check::AuthenticTimestamp => "authenticTimestamp",
            Check::Expiry => "expiry",
            Check::Revocation => "revocation",
        }
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Action {
    fn of(name: &str) -> Option<Action> {
        match name {
            "enforce" => Some(Action::Enforce),
            "log" => Some(Action::Log),
            "skip" => Some(Action::Skip),
            _ => None,
        }
    }
}

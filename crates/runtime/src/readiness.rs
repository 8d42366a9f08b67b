//! Whether the process is ready for traffic: checks with names, as controller-runtime has them, shared by those who decide
//! and `/readyz`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::StatusCode;

/// The check that is there always: the process has started.
pub(crate) const PING: Check = Check { name: "ping", failure: "manager has not started" };

/// The check of a process whose readiness means that it leads.
pub const LEADER_ELECTION: Check = Check { name: "leader-election", failure: "manager is not the leader" };

/// Something that has to hold before a process is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The name below `/readyz/`.
    pub name: &'static str,
    /// What is said while it does not hold.
    pub failure: &'static str,
}

/// The checks of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Result<(), &'static str>>>>);

impl Readiness {
    /// Ready when the process has started and all of `checks` have passed.
    pub fn new(checks: &[Check]) -> Self {
        let checks = checks.iter().chain([&PING]).map(|check| (check.name, Err(check.failure)));
        Self(Arc::new(Mutex::new(checks.collect())))
    }

    /// The check holds from now on; one that this process does not have makes no difference.
    pub fn pass(&self, check: Check) {
        if let Some(state) = self.checks().get_mut(check.name) {
            *state = Ok(());
        }
    }

    /// What is answered below `/readyz`: to the empty path for all checks, to `/<name>` for one of them. `None` if there is
    /// no such check.
    pub(crate) fn answer(&self, path: &str, verbose: bool) -> Option<(StatusCode, String)> {
        let checks = self.checks();
        if path.is_empty() || path == "/" {
            return Some(all(&checks, verbose));
        }
        Some(match checks.get(path.strip_prefix('/')?)? {
            Ok(()) => (StatusCode::OK, "ok".to_owned()),
            Err(failure) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {failure}\n"))
            }
        })
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<&'static str, Result<(), &'static str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all(checks: &BTreeMap<&str, Result<(), &str>>, verbose: bool) -> (StatusCode, String) {
    let line = |(name, state): (&&str, &Result<(), &str>)| match state {
        Ok(()) => format!("[+]{name} ok\n"),
        Err(_) => format!("[-]{name} failed: reason withheld\n"),
    };
    let lines: String = checks.iter().map(line).collect();
    match checks.values().all(Result::is_ok) {
        false => (StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}healthz check failed\n")),
        true if verbose => (StatusCode::OK, format!("{lines}healthz check passed\n")),
        true => (StatusCode::OK, "ok".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OTHER: Check = Check { name: "other", failure: "not yet" };

    #[test]
    fn readiness_takes_all_checks_and_names_those_that_fail() {
        let readiness = Readiness::new(&[LEADER_ELECTION, OTHER]);
        let answer = |path: &str| readiness.answer(path, false).map(|(status, text)| (status.as_u16(), text));
        let text = "[-]leader-election failed: reason withheld\n[-]other failed: reason withheld\n\
                    [-]ping failed: reason withheld\nhealthz check failed\n";
        assert_eq!(answer("").unwrap(), (500, text.to_owned()));
        readiness.pass(PING);
        readiness.pass(OTHER);
        let text =
            "[-]leader-election failed: reason withheld\n[+]other ok\n[+]ping ok\nhealthz check failed\n";
        assert_eq!(answer("").unwrap(), (500, text.to_owned()));
        let text = "internal server error: manager is not the leader\n";
        assert_eq!(answer("/leader-election").unwrap(), (500, text.to_owned()));
        assert_eq!(answer("/other").unwrap(), (200, "ok".to_owned()));
        readiness.clone().pass(LEADER_ELECTION);
        for path in ["", "/", "/leader-election", "/ping"] {
            assert_eq!(answer(path).unwrap(), (200, "ok".to_owned()), "{path}");
        }
        for path in ["/nothing", "other", "//", "/other/"] {
            assert_eq!(answer(path), None, "{path}");
        }
    }

    #[test]
    fn readiness_shows_the_checks_that_hold_on_request() {
        let readiness = Readiness::new(&[]);
        readiness.pass(PING);
        let (status, text) = readiness.answer("", true).unwrap();
        assert_eq!((status.as_u16(), &*text), (200, "[+]ping ok\nhealthz check passed\n"));
    }

    #[test]
    fn readiness_ignores_a_check_that_a_process_does_not_have() {
        let readiness = Readiness::new(&[]);
        readiness.pass(LEADER_ELECTION);
        assert_eq!(readiness.answer("/leader-election", false), None);
    }
}

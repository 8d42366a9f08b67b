//! Whether a commit belongs to a branch.
//!
//! This is the one question that a depth of 1 cannot answer. It gets its own store, which holds commits only if the
//! server can leave the rest out (and everything if it cannot), grows by the new commits of the branch, and remembers
//! the last answer, so that a branch that did not move costs nothing.

use std::collections::HashSet;
use std::path::PathBuf;

use gix::ObjectId;
use gix::objs::Kind;

use crate::commit::parents;
use crate::lazy_session::LazySession;
use crate::objects::Buffer;
use crate::session::Depth;
use crate::store::Store;
use crate::{Error, TransportError};

/// Why the question has no answer, or a bad one.
pub(crate) enum Missing {
    /// Not among the ancestors.
    Unreachable,
    /// Not among as many as may be looked at.
    TooMany(usize),
    Transport(TransportError),
}

impl<E: Into<TransportError>> From<E> for Missing {
    fn from(error: E) -> Self {
        Missing::Transport(error.into())
    }
}

/// Succeeds if `commit` is `tip` or one of its ancestors. `dir` belongs to this question alone.
pub(crate) fn reach(
    session: &mut LazySession<'_>,
    dir: PathBuf,
    tip: ObjectId,
    commit: ObjectId,
) -> Result<(), Missing> {
    if tip == commit {
        return Ok(());
    }
    let mut store = Store::open(dir)?;
    let answer = store.dir().join("verified");
    let verified = format!("{commit} in {tip}\n");
    if std::fs::read_to_string(&answer).is_ok_and(|text| text == verified) {
        return Ok(());
    }
    if !store.has(&tip) {
        store.fetch(session.open()?, &[tip], Depth::Commits)?;
    }
    match search(session, &store, tip, commit) {
        // The store is damaged: once more from nothing.
        Err(Missing::Transport(TransportError::Protocol(_))) => {
            store.clear()?;
            store.fetch(session.open()?, &[tip], Depth::Commits)?;
            search(session, &store, tip, commit)?;
        }
        other => other?,
    }
    Ok(std::fs::write(answer, verified)?)
}

fn search(session: &LazySession<'_>, store: &Store, tip: ObjectId, commit: ObjectId) -> Result<(), Missing> {
    let limit = session.limits.history;
    let objects = store.objects(session.limits)?;
    let mut seen = HashSet::from([tip]);
    let mut open = vec![tip];
    let mut buffer = Buffer::default();
    while let Some(id) = open.pop() {
        if session.deadline.is_over() {
            return Err(TransportError::Deadline.into());
        }
        let data = objects.read(&id, Kind::Commit, &mut buffer).map_err(TransportError::from)?;
        for parent in parents(id, data).map_err(TransportError::from)? {
            if parent == commit {
                return Ok(());
            }
            if seen.insert(parent) {
                open.push(parent);
            }
        }
        if seen.len() > limit {
            return Err(Missing::TooMany(limit));
        }
    }
    Err(Missing::Unreachable)
}

impl Missing {
    pub(crate) fn into_error(self, commit: &str, branch: &str) -> Error {
        let commit = commit.to_owned();
        match self {
            Missing::Unreachable => Error::Commit { commit, source: TransportError::ObjectNotFound },
            Missing::TooMany(limit) => Error::History { commit, branch: branch.to_owned(), limit },
            Missing::Transport(source) => Error::Commit { commit, source },
        }
    }
}

//! What a server said about its refs, for all who ask the same server the same question at about the same time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Connector, Limits, Remote, RemoteRef, Session, TransportError};
use net::Deadline;

/// Answers that are kept at once.
const ANSWERS: usize = 32;
/// Refs of an answer that is kept.
const REFS: usize = 1000;
/// How long an answer is kept at most.
const KEPT: Duration = Duration::from_secs(30);

/// The answers of one server to one set of credentials.
#[derive(Debug, Default)]
pub struct Answers(Mutex<HashMap<String, Answer>>);

#[derive(Debug)]
struct Answer {
    asked: Instant,
    refs: Vec<RemoteRef>,
}

impl Answers {
    /// What the server said to this question, asked at `since` or later.
    fn get(&self, question: &str, since: Instant) -> Option<Vec<RemoteRef>> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(question).filter(|answer| answer.asked >= since).map(|answer| answer.refs.clone())
    }

    fn put(&self, question: String, asked: Instant, refs: &[RemoteRef]) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|_, answer| answer.asked.elapsed() < KEPT);
        if answers.len() < ANSWERS && refs.len() <= REFS {
            answers.insert(question, Answer { asked, refs: refs.to_vec() });
        }
    }
}

/// A conversation that begins when there is something to ask that nobody has asked just now.
pub(crate) struct Talk<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) remote: &'a Remote,
    pub(crate) limits: &'a Limits,
    pub(crate) deadline: &'a Deadline,
    pub(crate) answers: &'a Answers,
    /// Older answers do not count.
    pub(crate) since: Instant,
    pub(crate) session: Option<Session>,
}

impl Talk<'_> {
    /// The open session.
    pub(crate) fn session(&mut self) -> Result<&mut Session, TransportError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connector.connect(self.remote, self.limits, self.deadline)?,
        };
        Ok(self.session.insert(session))
    }

    /// All refs that start with `prefix`.
    pub(crate) fn refs(&mut self, prefix: &str) -> Result<Vec<RemoteRef>, TransportError> {
        if let Some(refs) = self.answers.get(prefix, self.since) {
            return Ok(refs);
        }
        let asked = Instant::now();
        let refs = self.session()?.refs(&[prefix])?;
        self.answers.put(prefix.to_owned(), asked, &refs);
        Ok(refs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_if_it_was_asked_for_late_enough() {
        let (answers, asked) = (Answers::default(), Instant::now());
        answers.put("refs/heads/main".into(), asked, &[]);
        assert_eq!(answers.get("refs/heads/main", asked), Some(Vec::new()));
        assert_eq!(answers.get("refs/heads/main", asked + Duration::from_nanos(1)), None);
        assert_eq!(answers.get("refs/heads/other", asked), None);
    }

    #[test]
    fn few_and_small_answers_are_kept() {
        let answers = Answers::default();
        for i in 0..2 * ANSWERS {
            answers.put(i.to_string(), Instant::now(), &[]);
        }
        assert_eq!(answers.0.lock().map(|a| a.len()).ok(), Some(ANSWERS));
        let answers = Answers::default();
        let id = gix::ObjectId::null(gix::hash::Kind::Sha1);
        let many = vec![RemoteRef { name: "refs/tags/v".into(), object: id, peeled: None }; REFS + 1];
        answers.put("refs/tags/".into(), Instant::now(), &many);
        assert_eq!(answers.get("refs/tags/", Instant::now() - KEPT), None);
    }
}

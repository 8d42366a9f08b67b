//! What is told while a program is built: a line whenever something begins or ends, and one every few seconds in between.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long nothing is told at most.
const EVERY: Duration = Duration::from_secs(10);

/// For whoever waits; past the test runner, which holds back what tests print.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Tells how far the work is until it is dropped.
pub struct Progress {
    state: Arc<Mutex<State>>,
    title: String,
    begin: Instant,
    // Dropped first: that ends the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What goes on now.
#[derive(Default)]
struct State {
    phase: &'static str,
    modules: usize,
    packages: usize,
    last: String,
}

// === impl State ===

impl State {
    /// Takes a line of `go build -v`: a module that it downloads, or a package that it compiles.
    fn take(&mut self, line: &str) {
        if let Some(module) = line.strip_prefix("go: downloading ") {
            self.modules += 1;
            (self.phase, self.last) = ("downloading modules", module.to_owned());
        } else {
            self.packages += 1;
            (self.phase, self.last) = ("compiling", line.to_owned());
        }
    }

    fn text(&self) -> String {
        let count = match self.phase {
            "compiling" => format!(" package {}", self.packages),
            "downloading modules" => format!(", {}", self.modules),
            _ => String::new(),
        };
        let last = if self.last.is_empty() { String::new() } else { format!(": {}", self.last) };
        format!("{}{count}{last}", self.phase)
    }
}

// === impl Progress ===

impl Progress {
    /// Begins with a phase of the work on what `title` names.
    pub fn start(title: &str, phase: &'static str) -> Self {
        Self::start_with(title, phase, EVERY, say)
    }

    fn start_with(
        title: &str,
        phase: &'static str,
        every: Duration,
        say: impl Fn(&str) + Send + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(State { phase, ..State::default() }));
        let ((end, ended), begin) = (channel(), Instant::now());
        say(&format!("{title}: {phase}"));
        let (shared, owned) = (state.clone(), title.to_owned());
        let thread = thread::spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let text = shared.lock().unwrap_or_else(PoisonError::into_inner).text();
                say(&format!("{owned}: {text}, {} s", begin.elapsed().as_secs()));
            }
        });
        Self { state, title: title.to_owned(), begin, end: Some(end), thread: Some(thread) }
    }

    /// Another part of the work begins.
    pub fn phase(&self, phase: &'static str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.phase, state.last) = (phase, String::new());
    }

    /// Go has said a line.
    pub fn line(&self, line: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).take(line);
    }

    /// The work is done.
    pub fn done(self) {
        let line = format!("{}: done in {} s", self.title, self.begin.elapsed().as_secs());
        drop(self);
        say(&line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_says_nothing_is_told_of() {
        let (told, lines) = channel();
        let say = move |line: &str| drop(told.send(line.to_owned()));
        let progress =
            Progress::start_with("[2 of 4] etcd v3", "downloading its source", Duration::from_millis(1), say);
        let next = || lines.recv_timeout(Duration::from_secs(60)).unwrap_or_default();
        assert_eq!(next(), "[2 of 4] etcd v3: downloading its source");
        assert_eq!(next(), "[2 of 4] etcd v3: downloading its source, 0 s");
        progress.line("go: downloading example.com/a v1.0.0");
        let until = |text: &str| (0..100_000).map(|_| next()).find(|line| line.contains(text)).is_some();
        assert!(until("[2 of 4] etcd v3: downloading modules, 1: example.com/a v1.0.0, "));
        progress.line("example.com/a/b");
        progress.line("example.com/a");
        assert!(until("[2 of 4] etcd v3: compiling package 2: example.com/a, "));
        progress.phase("copying its source");
        assert!(until("[2 of 4] etcd v3: copying its source, "));
        drop(progress);
        while lines.try_recv().is_ok() {}
        assert!(lines.recv().is_err(), "nobody tells any more");
    }
}

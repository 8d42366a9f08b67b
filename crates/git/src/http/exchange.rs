//! One request and its answer, as the readers and writers that gix works with.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::blocking::{RequestBuilder, Response};
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::Caller;
use crate::TransportError;

/// A request that is sent when its answer is first read, and the answer.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) stage: Arc<Mutex<Stage>>,
    pub(super) caller: Caller,
}

/// How far an exchange has come.
pub(super) enum Stage {
    Collecting(Box<Pending>),
    Answered(Response),
    Failed,
}

/// A request whose body is still being written.
pub(super) struct Pending {
    pub(super) request: RequestBuilder,
    pub(super) target: Url,
    pub(super) body: Vec<u8>,
}

impl Exchange {
    fn with_response<T>(&self, read: impl FnOnce(&mut Response) -> io::Result<T>) -> io::Result<T> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = match std::mem::replace(&mut *stage, Stage::Failed) {
            Stage::Collecting(pending) => {
                let Pending { request, target, body } = *pending;
                let response = self.caller.send(request.body(body), &target);
                Stage::Answered(
                    response
                        .and_then(|r| self.caller.check(r, &target))
                        .map_err(|e| self.caller.wire.failure.set(e))?,
                )
            }
            answered => answered,
        };
        match &mut *stage {
            Stage::Answered(response) => read(response),
            _ => Err(io::Error::other("the request has failed")),
        }
    }
}

/// Collects the request body; Git's are small (wants and haves).
pub(crate) struct PostBody(pub(super) Exchange);

impl Write for PostBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Collecting(pending) => pending.body.extend_from_slice(bytes),
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The one response header that gix looks at, as text.
pub(crate) struct Headers {
    exchange: Exchange,
    lines: Option<Cursor<String>>,
}

impl Headers {
    pub(super) fn new(exchange: &Exchange) -> Self {
        Headers { exchange: exchange.clone(), lines: None }
    }

    fn lines(&mut self) -> io::Result<&mut Cursor<String>> {
        if self.lines.is_none() {
            let kind = self.exchange.with_response(|response| {
                let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
                Ok(kind.map(|k| format!("content-type: {k}\n")).unwrap_or_default())
            })?;
            self.lines = Some(Cursor::new(kind));
        }
        self.lines.as_mut().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Read for Headers {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.lines()?.read(out)
    }
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.lines()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(lines) = &mut self.lines {
            lines.consume(amount);
        }
    }
}

/// The response body, counted and bounded.
pub(crate) struct Body(Exchange);

impl Body {
    pub(super) fn reader(exchange: Exchange) -> BufReader<Body> {
        BufReader::with_capacity(64 * 1024, Body(exchange))
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let caller = &self.0.caller;
        if caller.wire.budget.is_spent() {
            return Err(caller.wire.failure.set(TransportError::Deadline));
        }
        let got = self.0.with_response(|response| {
            response.read(out).map_err(|e| caller.wire.failure.set(caller.explain(&e)))
        })?;
        caller.wire.received(got)?;
        Ok(got)
    }
}

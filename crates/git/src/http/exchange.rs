//! One request and its answer, as the readers and writers that gix works with.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::client::Response;
use super::{ADVERTISEMENT_TYPE, HttpTransport};
use crate::TransportError;

/// A request that is sent when its answer is first read, and the answer.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) stage: Arc<Mutex<Stage>>,
    pub(super) transport: HttpTransport,
}

/// How far an exchange has come.
pub(super) enum Stage {
    Collecting(Box<Pending>),
    Answered(Response),
    /// An advertisement, or its first part that was read already.
    Advertised(Cursor<Arc<[u8]>>, Option<Response>),
    Failed,
}

/// A request whose body is still being written.
pub(super) struct Pending {
    pub(super) request: RequestBuilder,
    pub(super) target: Url,
    pub(super) body: Vec<u8>,
}

impl Exchange {
    /// Sends the request if that was not done yet.
    fn answered(&self) -> io::Result<MutexGuard<'_, Stage>> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = match std::mem::replace(&mut *stage, Stage::Failed) {
            Stage::Collecting(pending) => {
                let Pending { request, target, body } = *pending;
                let request = self.transport.authorize(request.body(body), &target);
                let response = self.transport.send(request, &target);
                Stage::Answered(
                    response
                        .and_then(|r| self.transport.check(r, &target))
                        .map_err(|e| self.transport.connection.failure.set(e))?,
                )
            }
            answered => answered,
        };
        Ok(stage)
    }
}

impl Stage {
    /// The type of the answer's content.
    fn kind(&self) -> io::Result<Option<&str>> {
        match self {
            Stage::Answered(response) => {
                Ok(response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()))
            }
            Stage::Advertised(..) => Ok(Some(ADVERTISEMENT_TYPE)),
            Stage::Collecting(_) | Stage::Failed => Err(failed()),
        }
    }
}

impl Read for Stage {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Stage::Answered(response) => response.read(out),
            Stage::Advertised(text, rest) => match (text.read(out)?, rest) {
                (0, Some(rest)) => rest.read(out),
                (got, _) => Ok(got),
            },
            Stage::Collecting(_) | Stage::Failed => Err(failed()),
        }
    }
}

fn failed() -> io::Error {
    io::Error::other("the request has failed")
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
            let answer = self.exchange.answered()?;
            let kind = answer.kind()?.map(|kind| format!("content-type: {kind}\n"));
            self.lines = Some(Cursor::new(kind.unwrap_or_default()));
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
        let transport = &self.0.transport;
        if transport.connection.deadline.is_over() {
            return Err(transport.connection.failure.set(TransportError::Deadline));
        }
        let mut answer = self.0.answered()?;
        let got = answer.read(out).map_err(|e| transport.connection.failure.set(transport.explain(&e)))?;
        transport.connection.received(got)?;
        Ok(got)
    }
}

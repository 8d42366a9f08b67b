//! The HTTP client for code that blocks: as that of `reqwest`, but a wait ends when its deadline is cancelled.

use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use net::Deadline;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode, Url};
use tokio::runtime::{Builder, Runtime};

/// Drives the connections of all clients on one thread, those included that are idle.
#[derive(Debug)]
pub(crate) struct Driver(Option<Runtime>);

/// A client and its connections.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    client: reqwest::Client,
    driver: Arc<Driver>,
}

/// An answer whose body is read by and by.
pub(crate) struct Response {
    response: reqwest::Response,
    /// What was received and not read yet.
    chunk: Bytes,
    driver: Arc<Driver>,
    deadline: Deadline,
}

impl Driver {
    pub(crate) fn new() -> io::Result<Driver> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("git-http").enable_io().enable_time().build()?;
        Ok(Driver(Some(runtime)))
    }

    /// Waits for `step` as long as the deadline lets it.
    fn wait<T>(&self, deadline: &Deadline, step: impl Future<Output = T>) -> io::Result<T> {
        let Some(runtime) = &self.0 else { return Err(io::ErrorKind::BrokenPipe.into()) };
        runtime.block_on(deadline.bound(Duration::MAX, step)).map_err(|_| io::ErrorKind::TimedOut.into())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A name that is still being looked up must not be waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Client {
    /// A client whose connections `driver` drives.
    pub(crate) fn new(client: reqwest::Client, driver: Arc<Driver>) -> Client {
        Client { client, driver }
    }

    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }

    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    /// Sends a request of this client and waits for the head of its answer.
    pub(crate) fn send(&self, request: RequestBuilder, deadline: &Deadline) -> io::Result<Response> {
        let request = request.timeout(deadline.remaining());
        // Sending begins inside, where the driver is.
        let response =
            self.driver.wait(deadline, async { request.send().await })?.map_err(io::Error::other)?;
        let (driver, deadline) = (self.driver.clone(), deadline.clone());
        Ok(Response { response, chunk: Bytes::new(), driver, deadline })
    }
}

impl Response {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }
}

impl Read for Response {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let next = self.driver.wait(&self.deadline, self.response.chunk())?.map_err(io::Error::other)?;
            let Some(chunk) = next else { return Ok(0) };
            self.chunk = chunk;
        }
        let count = self.chunk.len().min(out.len());
        let (Some(from), Some(to)) = (self.chunk.get(..count), out.get_mut(..count)) else { return Ok(0) };
        to.copy_from_slice(from);
        self.chunk.advance(count);
        Ok(count)
    }
}

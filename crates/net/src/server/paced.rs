//! A stream whose other side has to take what is written at some pace.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How slowly a reader may read: while it takes so many bytes, writes to it may wait for so long in all.
///
/// Only waiting counts, so a reader does not pay for a slow writer; and only what is taken counts, so bytes that come one by one
/// do not keep a connection open. A size says nothing: what is steadily taken comes to its end, however large it is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes to take.
    pub bytes: usize,
    /// The time that writes may wait for each of these portions.
    pub time: Duration,
}

/// A stream that fails with [`io::ErrorKind::TimedOut`] if it is read more slowly than its pace.
pub(super) struct Paced<S> {
    stream: S,
    pace: Pace,
    /// Of the present portion: the bytes that were taken, and how long writes waited.
    taken: usize,
    waited: Duration,
    waiting: Option<Waiting>,
}

/// A write that cannot go on.
struct Waiting {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, taken: 0, waited: Duration::ZERO, waiting: None }
    }

    /// Counts what a write came to.
    fn count(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let left = self.pace.time.saturating_sub(self.waited);
            let waiting = self
                .waiting
                .get_or_insert_with(|| Waiting { since: Instant::now(), end: Box::pin(sleep(left)) });
            ready!(waiting.end.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")));
        };
        if let Some(waiting) = self.waiting.take() {
            self.waited += waiting.since.elapsed();
        }
        self.taken = self.taken.saturating_add(*written.as_ref().unwrap_or(&0));
        if self.taken >= self.pace.bytes {
            (self.taken, self.waited) = (0, Duration::ZERO);
        }
        Poll::Ready(written)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PACE: Pace = Pace { bytes: 1000, time: Duration::from_secs(60) };

    /// Writes `total` bytes to somebody who takes `portion` of them after each `pause`.
    async fn write_to(total: usize, portion: usize, pause: Duration) -> io::Result<()> {
        let (server, mut client): (DuplexStream, _) = duplex(10);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; portion];
            loop {
                sleep(pause).await;
                if client.read_exact(&mut buffer).await.is_err() {
                    return;
                }
            }
        });
        let mut paced = Paced::new(server, PACE);
        let written = paced.write_all(&vec![0; total]).await;
        drop(paced);
        reader.await.unwrap();
        written
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_at_the_pace_reads_to_the_end_however_long_it_takes() {
        // 20 bytes a second, an hour and more.
        write_to(80_000, 10, Duration::from_millis(500)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_below_the_pace_is_left_although_it_reads() {
        let begun = Instant::now();
        let error = write_to(80_000, 10, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::TimedOut, "the client reads too slowly".into())
        );
        assert!(begun.elapsed() < 2 * PACE.time, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_writer_is_no_fault_of_the_reader() {
        let (server, mut client) = duplex(10);
        let reader = tokio::spawn(async move { client.read_to_end(&mut Vec::new()).await.unwrap() });
        let mut paced = Paced::new(server, PACE);
        for _ in 0..10 {
            sleep(2 * PACE.time).await;
            paced.write_all(b"x").await.unwrap();
        }
        drop(paced);
        assert_eq!(reader.await.unwrap(), 10);
    }
}

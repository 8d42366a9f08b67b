//! The limits of connections over loopback, by hand, so that no client keeps to rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use net::{Pace, ServerOptions, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Long enough to be no test of speed, short enough to end a hanging test.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than the buffers of a connection hold.
const BIG: usize = 64 << 20;

struct Server {
    address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let length = if request.uri().path() == "/big" { BIG } else { 0 };
    Response::new(Full::from(vec![b'x'; length]))
}

async fn server(options: ServerOptions) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, asked) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, options, answer, async { drop(asked.await) }));
    Server { address, shutdown: Some(shutdown), task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects from another address of this host.
    async fn connect_from(&self, peer: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(peer.parse().unwrap(), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    // A server that has closed the connection shows in its answer.
    let _closed = stream.write_all(request.as_bytes()).await;
}

/// Asks for something that is there and answers whether the server said so. The connection stays.
async fn is_answered(stream: &mut TcpStream) -> bool {
    ask(stream, "/").await;
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        Ok::<_, std::io::Error>(())
    };
    let read = timeout(PATIENCE, read).await.expect("an answer or an end");
    read.is_ok() && head.starts_with(b"HTTP/1.1 200 OK\r\n")
}

/// Waits until the other side ends the connection, in whatever way; answers how many bytes came before.
async fn closed(stream: &mut TcpStream) -> usize {
    let (mut buffer, mut bytes) = (vec![0; 64 * 1024], 0);
    let ended = async {
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            bytes += read;
        }
    };
    timeout(PATIENCE, ended).await.expect("the server to close the connection");
    bytes
}

#[tokio::test]
async fn a_client_that_never_ends_its_headers_is_cut_off() {
    let options = ServerOptions { header_timeout: Duration::from_millis(200), ..ServerOptions::default() };
    let server = server(options).await;
    let mut silent = server.connect().await;
    let mut dripping = server.connect().await;
    dripping.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    closed(&mut silent).await;
    for _ in 0..200 {
        if dripping.write_all(b"x: y\r\n").await.is_err() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the server kept reading");
}

#[tokio::test]
async fn a_client_that_is_idle_after_an_answer_is_cut_off() {
    let options = ServerOptions { header_timeout: Duration::from_millis(200), ..ServerOptions::default() };
    let server = server(options).await;
    let mut idle = server.connect().await;
    assert!(is_answered(&mut idle).await);
    closed(&mut idle).await;
}

#[tokio::test]
async fn headers_are_read_up_to_a_size() {
    let server = server(ServerOptions { max_header_bytes: 8192, ..ServerOptions::default() }).await;
    let mut stream = server.connect().await;
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let _ = stream.write_all(request.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 431 "));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = server(ServerOptions { max_connections: 2, ..ServerOptions::default() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(is_answered(&mut first).await && is_answered(&mut second).await);
    let mut third = server.connect().await;
    ask(&mut third, "/").await;
    let mut byte = [0; 1];
    assert!(timeout(Duration::from_millis(300), third.read(&mut byte)).await.is_err());
    drop(first);
    assert_eq!(timeout(PATIENCE, third.read(&mut byte)).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn connections_of_one_address_leave_places_to_others() {
    let server = server(ServerOptions { max_peer_connections: 2, ..ServerOptions::default() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(is_answered(&mut first).await && is_answered(&mut second).await);
    assert_eq!(closed(&mut server.connect().await).await, 0, "it has two");
    assert!(is_answered(&mut server.connect_from("127.0.0.2").await).await);
    drop(first);
    // Until the server has seen the end.
    let again = async { while !is_answered(&mut server.connect().await).await {} };
    timeout(PATIENCE, again).await.expect("a place is free");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_frees_its_place() {
    let pace = Pace { time: Duration::from_millis(200), ..ServerOptions::default().pace };
    let options = ServerOptions { max_connections: 1, pace, ..ServerOptions::default() };
    let server = server(options).await;
    let mut greedy = server.connect().await;
    ask(&mut greedy, "/big").await;
    assert!(is_answered(&mut server.connect().await).await);
    assert!(closed(&mut greedy).await < BIG);
}

#[tokio::test]
async fn shutdown_lets_a_download_end_and_closes_idle_connections() {
    let mut server = server(ServerOptions::default()).await;
    let (mut idle, mut download) = (server.connect().await, server.connect().await);
    assert!(is_answered(&mut idle).await);
    ask(&mut download, "/big").await;
    download.read_exact(&mut [0; 1000]).await.unwrap();
    server.shutdown.take().unwrap().send(()).unwrap();
    closed(&mut idle).await;
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(closed(&mut download).await + 1000 > BIG);
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_stalled_download() {
    let options = ServerOptions { shutdown_grace: Duration::from_millis(100), ..ServerOptions::default() };
    let mut server = server(options).await;
    let mut stalled = server.connect().await;
    ask(&mut stalled, "/big").await;
    stalled.read_exact(&mut [0; 1000]).await.unwrap();
    server.shutdown.take().unwrap().send(()).unwrap();
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert!(closed(&mut stalled).await < BIG);
}

//! What runs in the Pods of tests: without arguments nothing, for as long as it is left alone; with a port an HTTP server that answers
//! every request with 200; with several addresses a client that ends when it has tried them all, and leaves those that it
//! reached as its message. Compiled by itself, so it has only the standard library.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long an address is tried: rules for a new Pod take a moment.
const PATIENCE: Duration = Duration::from_secs(6);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let addresses: Option<Vec<SocketAddr>> = arguments.iter().map(|address| address.parse().ok()).collect();
    match (addresses, arguments.as_slice()) {
        (_, []) => loop {
            std::thread::park();
        },
        (Some(addresses), _) => reach(&addresses),
        (None, [port, ..]) => serve(port.parse().expect("a port")),
    }
}

fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("listen");
    for connection in listener.incoming().flatten() {
        let mut connection = connection;
        let _ = connection.read(&mut [0; 4096]);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    }
}

fn reach(addresses: &[SocketAddr]) {
    let tries = addresses.iter().map(|address| {
        let address = *address;
        std::thread::spawn(move || {
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE {
                if answers(address).is_ok() {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            false
        })
    });
    let tries: Vec<_> = tries.collect();
    let reached = addresses.iter().zip(tries).filter_map(|(address, tried)| tried.join().ok()?.then_some(address));
    let message: String = reached.map(|address| format!("{address}\n")).collect();
    std::fs::write("/dev/termination-log", message).expect("write the message");
}

/// Any answer to a request.
fn answers(address: SocketAddr) -> std::io::Result<()> {
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    connection.read_exact(&mut [0])
}

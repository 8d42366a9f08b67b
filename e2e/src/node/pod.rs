//! What runs in the Pods of tests: without arguments nothing, for as long as it is left alone; with a port an HTTP server
//! that answers every request with 200. Compiled by itself, so it has only the standard library.

use std::io::{Read, Write};
use std::net::TcpListener;

fn main() {
    let Some(port) = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok()) else {
        loop {
            std::thread::park();
        }
    };
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("listen");
    for connection in listener.incoming().flatten() {
        let mut connection = connection;
        let _ = connection.read(&mut [0; 4096]);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    }
}

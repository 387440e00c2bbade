//! Requests to an API at zero: who is told of them, and what becomes of them.

mod autoscaler;
mod fallback;
mod keep_alive;
mod wake;

use crate::support::http::connect;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

/// A request on a connection of its own, whose answer is still to be read.
fn ask_with(data: SocketAddr, method: &str, target: &str, fields: &str, body: &str) -> TcpStream {
    let mut stream = connect(data);
    let length = body.len();
    let fixed = format!("host: me\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}");
    write!(stream, "{method} {target} HTTP/1.1\r\n{fixed}\r\n{body}").unwrap();
    stream
}

/// A `GET` on a connection of its own.
fn ask(data: SocketAddr, target: &str) -> TcpStream {
    ask_with(data, "GET", target, "", "")
}

//! Writes heads, chunk sizes and trailers.

use crate::fields::encode_field;
use crate::framing::Framing;
use crate::message::{RequestParts, ResponseParts};
use bytes::BytesMut;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};

/// Writes a request's first line.
pub fn encode_request_line(request: &RequestParts, out: &mut BytesMut) {
    let target = request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes what of a head concerns this hop, and the empty line.
pub fn encode_end(framing: Option<Framing>, upgrade: Option<&HeaderValue>, out: &mut BytesMut) {
    encode_framing(framing, out);
    encode_upgrade(upgrade, out);
    out.extend_from_slice(b"\r\n");
}

/// What an answer's head says of this hop.
#[derive(Debug, Default)]
pub struct ResponseHop<'a> {
    /// How the body is delimited.
    pub framing: Option<Framing>,
    /// What becomes of the connection.
    pub connection: Option<&'static str>,
    /// When it was made, if nobody has said that.
    pub date: Option<HeaderValue>,
    /// The protocol that is switched to.
    pub upgrade: Option<&'a HeaderValue>,
}

/// Writes an answer's head for the client.
pub fn encode_response(response: &ResponseParts, hop: ResponseHop<'_>, out: &mut BytesMut) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(response.status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    response.headers.encode(out);
    if let Some(date) = hop.date {
        encode_field(b"date", date.as_bytes(), out);
    }
    if let Some(connection) = hop.connection {
        encode_field(b"connection", connection.as_bytes(), out);
    }
    encode_end(hop.framing, hop.upgrade, out);
}

/// Writes trailer fields and the empty line after them.
pub fn encode_trailers(trailers: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in trailers {
        encode_field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a chunk's size line.
pub fn encode_chunk_size(size: usize, out: &mut BytesMut) {
    let mut digits = [0; 16];
    let mut left = size;
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b"0123456789abcdef"[left & 15];
        left >>= 4;
        if left == 0 || first == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

fn encode_framing(framing: Option<Framing>, out: &mut BytesMut) {
    match framing {
        Some(Framing::Length(length)) => {
            encode_field(b"content-length", itoa::Buffer::new().format(length).as_bytes(), out);
        }
        Some(Framing::Chunked) => encode_field(b"transfer-encoding", b"chunked", out),
        Some(Framing::UntilClose) | None => {}
    }
}

fn encode_upgrade(upgrade: Option<&HeaderValue>, out: &mut BytesMut) {
    if let Some(protocol) = upgrade {
        encode_field(b"connection", b"upgrade", out);
        encode_field(b"upgrade", protocol.as_bytes(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes() {
        for (size, expected) in
            [(0, "0\r\n"), (10, "a\r\n"), (255, "ff\r\n"), (usize::MAX, "ffffffffffffffff\r\n")]
        {
            let mut out = BytesMut::new();
            encode_chunk_size(size, &mut out);
            assert_eq!(out, expected);
        }
    }
}

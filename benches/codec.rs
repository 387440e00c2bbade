//! What reading and writing a head costs a request: four of these are its share of the codec.
//!
//! `cargo bench -p tidegate-benches --bench codec`

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use http::Method;
use tidegate_proxy::framing::{Decoded, Decoder, Framing};
use tidegate_proxy::head::encode::{ResponseHop, encode_end, encode_request_line, encode_response};
use tidegate_proxy::head::{HeadScan, RequestHead, ResponseHead, parse_request, parse_response};

const MAX_HEAD_BYTES: usize = 64 << 10;

/// What curl sends.
const SMALL_REQUEST: &str = "POST /predict HTTP/1.1\r\nHost: digits.example\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
     Content-Type: application/json\r\nContent-Length: 64\r\n\r\n";
/// What a client library sends that many proxies have seen.
const LARGE_REQUEST: &str = "POST /v1/chat/completions?stream=true HTTP/1.1\r\nHost: llm.example:8443\r\n\
     User-Agent: OpenAI/Python 1.99.0\r\nAccept: application/json\r\n\
     Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n\
     Content-Type: application/json\r\nContent-Length: 220000\r\n\
     Authorization: Bearer 0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
     X-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\nX-Stainless-Runtime: CPython\r\n\
     X-Stainless-Retry-Count: 0\r\nX-Forwarded-For: 10.1.2.3, 10.4.5.6\r\n\
     X-Forwarded-Proto: https\r\nX-Request-Id: 6f9a2c34-0d7b-4c1e-9a51-2f7d7e0c9b11\r\n\
     Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
     Tracestate: vendor=abc\r\nCookie: session=0123456789abcdef\r\n\r\n";
/// What uvicorn answers.
const RESPONSE: &str = "HTTP/1.1 200 OK\r\ndate: Mon, 02 Jan 2026 03:04:05 GMT\r\n\
     server: uvicorn\r\ncontent-length: 92\r\ncontent-type: application/json\r\n\r\n";

/// Which request.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Small,
    Large,
}

fn main() {
    divan::main();
}

impl Kind {
    const fn text(self) -> &'static str {
        match self {
            Self::Small => SMALL_REQUEST,
            Self::Large => LARGE_REQUEST,
        }
    }
}

fn response() -> ResponseHead {
    parse_response(Bytes::from_static(RESPONSE.as_bytes()), &Method::GET)
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// Looks for the head's end, and reads it.
#[divan::bench(args = [Kind::Small, Kind::Large])]
fn read_request(bencher: Bencher<'_, '_>, kind: Kind) {
    bencher.with_inputs(|| Bytes::copy_from_slice(kind.text().as_bytes())).bench_values(|head| {
        let length = HeadScan::default().find(divan::black_box(&head), MAX_HEAD_BYTES);
        (length, parse_request(head))
    });
}

/// Looks for the answer's end, and reads it.
#[divan::bench]
fn read_response(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| Bytes::copy_from_slice(RESPONSE.as_bytes())).bench_values(|head| {
        let length = HeadScan::default().find(divan::black_box(&head), MAX_HEAD_BYTES);
        (length, parse_response(head, &Method::GET))
    });
}

/// Writes a request's head for the upstream.
#[divan::bench(args = [Kind::Small, Kind::Large])]
fn write_request(bencher: Bencher<'_, '_>, kind: Kind) {
    let head = parse_request(Bytes::from_static(kind.text().as_bytes()));
    let RequestHead { request, framing, .. } =
        head.unwrap_or_else(|reason| unreachable!("{reason:?}"));
    let (parts, ()) = request.into_parts();
    let mut out = BytesMut::with_capacity(4 << 10);
    bencher.bench_local(|| {
        out.clear();
        encode_request_line(divan::black_box(&parts), &mut out);
        parts.headers.encode(&mut out);
        encode_end(Some(framing), None, &mut out);
        out.len()
    });
}

/// Writes an answer's head for the client.
#[divan::bench]
fn write_response(bencher: Bencher<'_, '_>) {
    let ResponseHead { response, framing, .. } = response();
    let (parts, ()) = response.into_parts();
    let mut out = BytesMut::with_capacity(4 << 10);
    bencher.bench_local(|| {
        out.clear();
        let hop = ResponseHop { framing: Some(framing), ..ResponseHop::default() };
        encode_response(divan::black_box(&parts), hop, &mut out);
        out.len()
    });
}

/// Takes an event of a stream out of its chunk.
#[divan::bench]
fn decode_chunk(bencher: Bencher<'_, '_>) {
    const CHUNK: &[u8] = b"1e\r\ndata: {\"token\":\" tide\"}     \n\n\r\n";
    let mut decoder = Decoder::new(Framing::Chunked);
    bencher.with_inputs(|| BytesMut::from(CHUNK)).bench_local_values(|mut read| {
        let data = decoder.decode(&mut read);
        assert!(matches!(data, Ok(Decoded::Data(_))), "{data:?}");
        // Goes past the chunk's end, to where the next begins.
        (decoder.decode(&mut read), data)
    });
}

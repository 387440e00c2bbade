//! Where a body ends: its length, its chunks or the connection's end (RFC 9112 sections 6 and 7).
//!
//! Strict: what two readers could understand in two ways is refused.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// A chunk's size line, with its extension. Real ones have a few bytes.
const MAX_SIZE_LINE: usize = 1 << 10;
/// All trailers together.
const MAX_TRAILER_BYTES: usize = 8 << 10;
const MAX_TRAILERS: usize = 32;
/// Digits of a chunk's size, leading zeros included: 2^60 bytes are enough.
const MAX_SIZE_DIGITS: usize = 15;

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 is no body.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All that comes (answers only).
    UntilClose,
}

/// Whether an answer of this status to a request of this method has no body, whatever its head says
/// (RFC 9112 section 6.3).
pub fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Takes a body out of a connection's bytes.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of the body, or of the rest of it.
    Length(u64),
    ChunkSize,
    /// So many bytes of the chunk.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

/// What a decoder found.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A part of the body.
    Data(Bytes),
    /// What follows a chunked body.
    Trailers(HeaderMap),
    /// The body is complete.
    Done,
    /// More bytes are needed.
    NeedMore,
}

/// A body that breaks the rules of its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body's framing is malformed")]
pub struct FramingError(());

// === impl Decoder ===

impl Decoder {
    /// A decoder at a body's first byte.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether the whole body was taken.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// What is left of a body of known length.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Takes the next part out of `read`.
    ///
    /// # Errors
    /// If the bytes break the rules.
    pub fn decode(&mut self, read: &mut BytesMut) -> Result<Decoded, FramingError> {
        loop {
            match self.state {
                State::Done => return Ok(Decoded::Done),
                State::Length(left) => {
                    let Some((data, left)) = take(read, left) else { return Ok(Decoded::NeedMore) };
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Decoded::Data(data));
                }
                State::UntilClose => {
                    if read.is_empty() {
                        return Ok(Decoded::NeedMore);
                    }
                    return Ok(Decoded::Data(read.split().freeze()));
                }
                State::Chunk(left) => {
                    let Some((data, left)) = take(read, left) else { return Ok(Decoded::NeedMore) };
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    return Ok(Decoded::Data(data));
                }
                State::ChunkEnd => {
                    if read.len() < 2 {
                        return if b"\r\n".starts_with(read) {
                            Ok(Decoded::NeedMore)
                        } else {
                            Err(FramingError(()))
                        };
                    }
                    if !read.starts_with(b"\r\n") {
                        return Err(FramingError(()));
                    }
                    read.advance(2);
                    self.state = State::ChunkSize;
                }
                State::ChunkSize => {
                    let Some(size) = chunk_size(read)? else { return Ok(Decoded::NeedMore) };
                    self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
                }
                State::Trailers => {
                    let Some(trailers) = trailers(read)? else { return Ok(Decoded::NeedMore) };
                    self.state = State::Done;
                    if !trailers.is_empty() {
                        return Ok(Decoded::Trailers(trailers));
                    }
                }
            }
        }
    }

    /// The connection has ended: whether that is the body's proper end.
    ///
    /// # Errors
    /// If more should have come.
    pub fn end(&mut self) -> Result<(), FramingError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(FramingError(())),
        }
    }
}

/// Up to `left` bytes, and what is then left.
fn take(read: &mut BytesMut, left: u64) -> Option<(Bytes, u64)> {
    if read.is_empty() {
        return None;
    }
    let count = usize::try_from(left).map_or(read.len(), |left| left.min(read.len()));
    Some((read.split_to(count).freeze(), left - count as u64))
}

/// A chunk's size line: hexadecimal digits, perhaps an extension, CR LF.
fn chunk_size(read: &mut BytesMut) -> Result<Option<u64>, FramingError> {
    let window = read.get(..MAX_SIZE_LINE.min(read.len())).unwrap_or_default();
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if window.len() < MAX_SIZE_LINE { Ok(None) } else { Err(FramingError(())) };
    };
    let line =
        window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(FramingError(()))?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let clean = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    let extension_ok =
        extension.is_empty() || (extension.starts_with(b";") && extension.iter().all(clean));
    if digits == 0 || digits > MAX_SIZE_DIGITS || !extension_ok {
        return Err(FramingError(()));
    }
    let size = size.iter().fold(0, |size, digit| size << 4 | u64::from(hex(*digit)));
    read.advance(end + 1);
    Ok(Some(size))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// The trailer section up to its empty line. Fields that would change what was already acted on
/// are left out (RFC 9110 section 6.5.1).
fn trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, FramingError> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let window = read.get(..MAX_TRAILER_BYTES.min(read.len())).unwrap_or_default();
    match httparse::parse_headers(window, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) => {
            let raw = window.get(..length).unwrap_or_default();
            if has_bare_line_end(raw) {
                return Err(FramingError(()));
            }
            let mut map = HeaderMap::with_capacity(fields.len());
            for field in fields.iter() {
                let name =
                    HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| FramingError(()))?;
                let value = HeaderValue::from_bytes(field.value).map_err(|_| FramingError(()))?;
                if !is_forbidden_trailer(name.as_str()) {
                    map.append(name, value);
                }
            }
            read.advance(length);
            Ok(Some(map))
        }
        Ok(httparse::Status::Partial) if window.len() < MAX_TRAILER_BYTES => Ok(None),
        _ => Err(FramingError(())),
    }
}

/// Whether a trailer of this name would change what was already acted on (RFC 9110 section 6.5.1).
pub fn is_forbidden_trailer(name: &str) -> bool {
    FORBIDDEN_TRAILERS.contains(&name)
}

const FORBIDDEN_TRAILERS: [&str; 14] = [
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "expect",
    "authorization",
    "content-encoding",
    "content-type",
    "content-range",
    "set-cookie",
];

/// A line feed without its carriage return: some readers end a line there, others don't.
pub fn has_bare_line_end(head: &[u8]) -> bool {
    let mut previous = 0;
    head.iter().any(|byte| {
        let bare = *byte == b'\n' && previous != b'\r';
        previous = *byte;
        bare
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `bytes` given in pieces of `step`: the body, or `None` if it is refused or cut.
    fn decode(framing: Framing, bytes: &[u8], step: usize) -> Option<(Vec<u8>, HeaderMap, usize)> {
        let mut decoder = Decoder::new(framing);
        let (mut read, mut body, mut trailers) = (BytesMut::new(), Vec::new(), HeaderMap::new());
        let mut pieces = bytes.chunks(step);
        loop {
            match decoder.decode(&mut read).ok()? {
                Decoded::Data(data) => body.extend_from_slice(&data),
                Decoded::Trailers(map) => trailers = map,
                Decoded::Done => {
                    let left = read.len() + pieces.map(<[u8]>::len).sum::<usize>();
                    return Some((body, trailers, left));
                }
                Decoded::NeedMore => match pieces.next() {
                    Some(piece) => read.extend_from_slice(piece),
                    None => decoder.end().ok()?,
                },
            }
        }
    }

    #[test]
    fn bodies_are_found_however_they_are_cut() {
        for step in 1..20 {
            let (body, _, left) = decode(Framing::Length(5), b"helloGET", step).unwrap();
            assert_eq!((body.as_slice(), left), (b"hello".as_slice(), 3));
            let chunked =
                b"5\r\nhello\r\n0006;a=b\r\n world\r\n0\r\nx-sum: 1\r\nHost: evil\r\n\r\nGET";
            let (body, trailers, left) = decode(Framing::Chunked, chunked, step).unwrap();
            assert_eq!((body.as_slice(), left), (b"hello world".as_slice(), 3));
            assert_eq!((trailers.len(), trailers["x-sum"].as_bytes()), (1, b"1".as_slice()));
            let (body, ..) = decode(Framing::UntilClose, b"all of it", step).unwrap();
            assert_eq!(body, b"all of it");
        }
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways_are_refused() {
        for bad in [
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5_0\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;a\0b\r\nhello\r\n0\r\n\r\n",
            "5\r\nhel",
            "0\r\nx: y\nz: q\r\n\r\n",
            "0\r\n x: y\r\n\r\n",
        ] {
            for step in 1..20 {
                assert_eq!(decode(Framing::Chunked, bad.as_bytes(), step), None, "{bad:?}");
            }
        }
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(2000));
        assert_eq!(decode(Framing::Chunked, long.as_bytes(), 100), None);
        let many = format!("0\r\n{}\r\n", "x: y\r\n".repeat(3000));
        assert_eq!(decode(Framing::Chunked, many.as_bytes(), 100), None);
    }

    #[test]
    fn a_body_that_ends_short_is_no_body() {
        assert_eq!(decode(Framing::Length(5), b"hell", 4), None);
    }
}

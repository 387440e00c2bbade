//! HTTP/2 by hand: frames as bytes, so that a test can send what no library would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// What a client begins with (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags.
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes (section 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A client's connection that is past its preface.
pub(crate) struct Raw(pub(crate) TcpStream);

// === impl Frame ===

impl Frame {
    /// A frame.
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A request's head, the last of its stream or not.
    pub(crate) fn headers(stream: u32, block: Vec<u8>, last: bool) -> Self {
        Self::new(HEADERS, END_HEADERS | if last { END_STREAM } else { 0 }, stream, block)
    }

    /// A frame whose payload is a number.
    pub(crate) fn number(kind: u8, stream: u32, number: u32) -> Self {
        Self::new(kind, 0, stream, number.to_be_bytes())
    }

    /// One setting.
    pub(crate) fn setting(id: u16, value: u32) -> Self {
        Self::new(SETTINGS, 0, 0, [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
    }

    /// The end of a connection, above this stream.
    pub(crate) fn go_away(last: u32, code: u32) -> Self {
        Self::new(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    /// A part of a body.
    pub(crate) fn data(stream: u32, bytes: impl Into<Vec<u8>>, last: bool) -> Self {
        Self::new(DATA, if last { END_STREAM } else { 0 }, stream, bytes)
    }

    /// The frame as it is sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let stream = self.stream.to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &stream, &self.payload].concat()
    }

    /// The next frame.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        from.read_exact(&mut payload)?;
        Ok(Self { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Why a stream or a connection ends.
    pub(crate) fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().unwrap()))
    }

    /// Whether it is its stream's last.
    pub(crate) fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM || (self.kind <= HEADERS && self.flags & END_STREAM != 0)
    }

    /// An answer's status. Where there is no other field before it, as there must not be.
    pub(crate) fn status(&self) -> Option<u16> {
        const IN_TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        // A change of the table's size may come before it.
        let is_size = |byte: &u8| byte & 0xe0 == 0x20;
        let at = self.payload.iter().position(|byte| !is_size(byte))?;
        match self.payload[at..] {
            _ if self.kind != HEADERS => None,
            [indexed @ 0x88..=0x8e, ..] => Some(IN_TABLE[usize::from(indexed - 0x88)]),
            [_, length, ref text @ ..] => {
                let huffman = length & 0x80 != 0;
                let text = text.get(..usize::from(length & 0x7f))?;
                let text = if huffman { digits(text) } else { text.to_vec() };
                String::from_utf8(text).ok()?.parse().ok()
            }
            _ => None,
        }
    }
}

/// Digits in Huffman's code of HPACK (RFC 7541 appendix B): 0 to 2 have five bits, the others six.
fn digits(text: &[u8]) -> Vec<u8> {
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut rest, mut found) = (bits.as_str(), Vec::new());
    while let Some((digit, after)) = digit(rest) {
        found.push(digit);
        rest = after;
    }
    found
}

fn digit(bits: &str) -> Option<(u8, &str)> {
    let read = |length| u8::from_str_radix(bits.get(..length)?, 2).ok();
    match (read(5)?, read(6)) {
        (short @ 0..=2, _) => Some((b'0' + short, bits.get(5..)?)),
        (_, Some(long @ 0x19..=0x1f)) => Some((b'3' + long - 0x19, bits.get(6..)?)),
        _ => None,
    }
}

/// A field, named and said in full.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0], &text(name)[..], &text(value)].concat()
}

/// A text in full, with its length in HPACK's form.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut length = text.len();
    if length < 127 {
        bytes.push(length as u8);
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push((length % 128) as u8 | 128);
            length /= 128;
        }
        bytes.push(length as u8);
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A request's head.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "me"), (":path", path)];
    pseudo.iter().chain(fields).flat_map(|(name, value)| field(name, value)).collect()
}

// === impl Raw ===

impl Raw {
    /// Connects, and says the preface and a setting: no table, so that every answer's status can
    /// be read by itself.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let mut raw = Self(super::http::connect(to));
        raw.0.set_nodelay(true).unwrap();
        raw.send(&[PREFACE, &Frame::setting(1, 0).bytes()].concat());
        raw
    }

    /// Lets each connection to a new listener be served by a thread of its own, past the client's
    /// preface; told which it is, from 0.
    pub(crate) fn serve(
        settings: &[Frame],
        serve: impl Fn(Self, usize) + Send + Sync + 'static,
    ) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let settings: Vec<u8> = settings.iter().flat_map(Frame::bytes).collect();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let (serve, settings) = (Arc::clone(&serve), settings.clone());
                std::thread::spawn(move || {
                    let mut raw = Self(stream);
                    let mut preface = [0; PREFACE.len()];
                    if raw.0.read_exact(&mut preface).is_ok() && raw.send(&settings) {
                        serve(raw, number);
                    }
                });
            }
        });
        address
    }

    /// The next request's stream, for who serves. What the connection itself asks is answered.
    pub(crate) fn next_request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next()?;
            let answer = match frame.kind {
                HEADERS => return Some(frame.stream),
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING { frame.payload } else { Vec::new() };
                    Frame::new(frame.kind, ACK, 0, payload)
                }
                _ => continue,
            };
            self.frame(&answer);
        }
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, stream: u32, body: &str) {
        self.frame(&Frame::headers(stream, vec![0x88], false));
        self.frame(&Frame::data(stream, body, true));
    }

    /// Sends bytes. It is no fault of the test if the other side takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Sends a frame.
    pub(crate) fn frame(&mut self, frame: &Frame) -> bool {
        self.send(&frame.bytes())
    }

    /// Asks for a path, without a body.
    pub(crate) fn get(&mut self, stream: u32, path: &str) -> bool {
        self.frame(&Frame::headers(stream, request("GET", path, &[]), true))
    }

    /// The next frame; `None` at the connection's end.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        Frame::read(&mut self.0).ok()
    }

    /// The next frame that is wanted. Fails at the connection's end.
    pub(crate) fn wait_for(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().expect("a frame before the connection's end");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Waits until all that was sent is read: a ping that is answered.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.is_alive_without(|_| false)
    }

    /// The same, and no frame that may not come has come before it.
    pub(crate) fn is_alive_without(&mut self, forbidden: impl Fn(&Frame) -> bool) -> bool {
        if !self.frame(&Frame::new(PING, 0, 0, *b"tidegate")) {
            return false;
        }
        while let Some(frame) = self.next() {
            if frame.kind == PING && frame.flags & ACK != 0 && frame.payload == *b"tidegate" {
                return true;
            }
            if forbidden(&frame) {
                return false;
            }
        }
        false
    }
}

//! HTTP/1 heads: read strictly here, written plainly by [`encode`].
//!
//! What concerns one hop (RFC 9110 section 7.6.1) is read here and kept out of the list of fields, so
//! that nothing further in can pass it on, and nothing has to be taken out again.

use crate::fields::Fields;
use crate::framing::Framing;
use crate::message::{Request, RequestParts, Response, ResponseParts};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use memchr::memmem::Finder;
use std::mem::MaybeUninit;
use std::sync::LazyLock;
use tidegate_api::reason::Reason;

pub mod encode;

/// Fields that a head may have.
pub(crate) const MAX_FIELDS: usize = 100;
/// Empty lines that may stand before a request: some old clients send one after a body.
const MAX_LEADING_BREAKS: usize = 4;
/// The empty line at a head's end.
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
/// The largest length that no reader takes for a negative one.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// A request's head, with what of it concerned this hop.
#[derive(Debug)]
pub struct RequestHead {
    /// Method, target, end-to-end fields.
    pub request: Request<()>,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub expects_continue: bool,
}

/// An answer's head, with what of it concerned this hop.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status and end-to-end fields.
    pub response: Response<()>,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// The protocol it switches to, with 101.
    pub upgrade: Option<HeaderValue>,
}

/// Looks for a head's end without reading anything twice.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// Where the current line begins.
    line: usize,
    /// What was looked at.
    seen: usize,
}

/// An answer that is not HTTP as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer's head is malformed")]
pub struct MalformedAnswer(());

/// What of a head concerned one hop.
#[derive(Default)]
struct Hop {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    wants_upgrade: bool,
    upgrade: Option<HeaderValue>,
    expects_continue: bool,
    /// Further names that `Connection` lists.
    named: Vec<HeaderName>,
}

/// A field that is not simply passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    Connection,
    ContentLength,
    Expect,
    TransferEncoding,
    Upgrade,
    /// Concerns one hop and is ignored.
    Ignored,
}

// === impl HeadScan ===

impl HeadScan {
    /// The length of the head at the front of `read`, if all of it is there.
    ///
    /// # Errors
    /// `bad-request` if a line ends in a way that readers disagree on, `header-too-large` if there
    /// is no end within `max`.
    pub fn find(&mut self, read: &[u8], max: usize) -> Result<Option<usize>, Reason> {
        // Mostly all of it comes at once.
        if self.seen == 0
            && let Some(at) = END.find(read)
            && let Some(head) = read.get(..at + END.needle().len())
            && has_plain_lines(head)
        {
            return if head.len() <= max {
                Ok(Some(head.len()))
            } else {
                Err(Reason::HeaderTooLarge)
            };
        }
        while let Some(rest) = read.get(self.seen..) {
            let Some(offset) = memchr::memchr(b'\n', rest) else { break };
            let end = self.seen + offset + 1;
            let line = read.get(self.line..end).unwrap_or_default();
            let text = line.strip_suffix(b"\r\n").ok_or(Reason::BadRequest)?;
            if memchr::memchr(b'\r', text).is_some() {
                return Err(Reason::BadRequest);
            }
            (self.line, self.seen) = (end, end);
            if text.is_empty() && end > 2 {
                return if end <= max { Ok(Some(end)) } else { Err(Reason::HeaderTooLarge) };
            }
        }
        self.seen = read.len();
        if read.len() >= max {
            return Err(Reason::HeaderTooLarge);
        }
        Ok(None)
    }
}

/// Whether CR and LF stand side by side only.
fn has_plain_lines(head: &[u8]) -> bool {
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    // Without an early end, so that many bytes are compared at once.
    let odd = pairs.fold(false, |odd, (one, next)| odd | ((*one == b'\r') != (*next == b'\n')));
    !odd && head.first() != Some(&b'\n')
}

/// Takes the empty lines before a request off; refuses at once what can't become one.
///
/// # Errors
/// `bad-request` if the first byte can't begin a method.
pub fn skip_leading_breaks(read: &mut BytesMut) -> Result<(), Reason> {
    for _ in 0..MAX_LEADING_BREAKS {
        if !read.starts_with(b"\r\n") {
            break;
        }
        drop(read.split_to(2));
    }
    match read.first() {
        Some(first) if !first.is_ascii_alphabetic() && *first != b'\r' => Err(Reason::BadRequest),
        _ => Ok(()),
    }
}

/// Reads a request's whole head.
///
/// # Errors
/// With the reason for which it is refused.
pub fn parse_request(head: Bytes) -> Result<RequestHead, Reason> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(&head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Reason::HeaderTooLarge),
        _ => return Err(Reason::BadRequest),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Reason::BadRequest);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Reason::BadRequest)?;
    let uri = parse_target(&head, target, &method)?;
    let (mut headers, hop) = read_fields(&head, parsed.headers).map_err(|()| Reason::BadRequest)?;
    if !has_one_host(&headers, version) {
        return Err(Reason::BadRequest);
    }
    if hop.chunked && (version == 0 || hop.length.is_some()) {
        // RFC 9112 section 6.1: an attempt to smuggle, or a sender that can't know better.
        return Err(Reason::BadRequest);
    }
    let framing =
        if hop.chunked { Framing::Chunked } else { Framing::Length(hop.length.unwrap_or(0)) };
    let may_upgrade = hop.wants_upgrade && version == 1 && framing == Framing::Length(0);
    let upgrade = hop.upgrade.filter(|_| may_upgrade);
    for name in hop.named {
        headers.remove(name);
    }
    let keep_alive = !hop.close && (version == 1 || hop.keep_alive);
    let expects_continue = hop.expects_continue && version == 1;
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let parts = RequestParts { method, uri, version, headers, upgrade };
    let request = Request::from_parts(parts, ());
    Ok(RequestHead { request, framing, keep_alive, expects_continue })
}

/// Reads an answer's whole head. `to` is the method it answers.
///
/// # Errors
/// If it is malformed.
pub fn parse_response(head: Bytes, to: &Method) -> Result<ResponseHead, MalformedAnswer> {
    const MALFORMED: MalformedAnswer = MalformedAnswer(());
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, &head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        _ => return Err(MALFORMED),
    }
    let (Some(code), Some(version)) = (parsed.code, parsed.version) else { return Err(MALFORMED) };
    let status =
        StatusCode::from_u16(code).ok().filter(|status| status.as_u16() < 600).ok_or(MALFORMED)?;
    let (mut headers, hop) = read_fields(&head, parsed.headers).map_err(|()| MALFORMED)?;
    if hop.chunked && (version == 0 || hop.length.is_some()) {
        return Err(MALFORMED);
    }
    for name in hop.named {
        headers.remove(name);
    }
    let bodiless = *to == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framing = match hop.length {
        _ if bodiless => Framing::Length(0),
        Some(length) => Framing::Length(length),
        None if hop.chunked => Framing::Chunked,
        None => Framing::UntilClose,
    };
    if let Some(length) = hop.length.filter(|_| bodiless && status != StatusCode::NO_CONTENT) {
        // What the body would have been: kept, as nothing else tells it.
        headers.insert(CONTENT_LENGTH, itoa::Buffer::new().format(length));
    }
    let keep_alive =
        !hop.close && (version == 1 || hop.keep_alive) && framing != Framing::UntilClose;
    let upgrade = hop.upgrade.filter(|_| hop.wants_upgrade);
    let response = Response::from_parts(ResponseParts { status, headers }, ());
    Ok(ResponseHead { response, framing, keep_alive, upgrade })
}

/// RFC 9112 section 3.2: one Host in HTTP/1.1, at most one in HTTP/1.0.
fn has_one_host(headers: &Fields, version: u8) -> bool {
    let mut hosts = headers.get_all(HOST);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, _) => version == 0,
        (Some(_), Some(_)) => false,
    }
}

/// Sorts a head's fields: those that go on, and what the others say.
fn read_fields(head: &Bytes, fields: &[httparse::Header<'_>]) -> Result<(Fields, Hop), ()> {
    let mut hop = Hop::default();
    let mut end_to_end = Fields::of_head(head.clone(), fields.len());
    for field in fields {
        match special(field.name)? {
            None => end_to_end.push_read(field.name, field.value),
            Some(Special::Ignored) => {}
            Some(Special::ContentLength) => {
                let length = parse_length(field.value).filter(|_| hop.length.is_none()).ok_or(())?;
                hop.length = Some(length);
            }
            Some(Special::TransferEncoding) => {
                if hop.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(());
                }
                hop.chunked = true;
            }
            Some(Special::Connection) => hop.read_connection(field.value)?,
            Some(Special::Upgrade) => hop.upgrade = Some(shared_value(head, field.value)?),
            Some(Special::Expect) => {
                if hop.expects_continue || !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(());
                }
                hop.expects_continue = true;
            }
        }
    }
    Ok((end_to_end, hop))
}

/// What a field's name means here. A name that is one of these but for an underscore is refused:
/// some readers take the two for the same.
pub(crate) fn special(name: &str) -> Result<Option<Special>, ()> {
    let (known, meaning) = match name.len() {
        2 => ("te", Special::Ignored),
        6 => ("expect", Special::Expect),
        7 if name.starts_with(['t', 'T']) => ("trailer", Special::Ignored),
        7 => ("upgrade", Special::Upgrade),
        10 if name.starts_with(['c', 'C']) => ("connection", Special::Connection),
        10 => ("keep-alive", Special::Ignored),
        14 => ("content-length", Special::ContentLength),
        16 => ("proxy-connection", Special::Ignored),
        17 => ("transfer-encoding", Special::TransferEncoding),
        19 => ("proxy-authorization", Special::Ignored),
        _ => return Ok(None),
    };
    if name.eq_ignore_ascii_case(known) {
        return Ok(Some(meaning));
    }
    if !name.contains('_') {
        return Ok(None);
    }
    let dashed =
        name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
    if dashed.eq(known.bytes()) { Err(()) } else { Ok(None) }
}

impl Hop {
    fn read_connection(&mut self, value: &[u8]) -> Result<(), ()> {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.wants_upgrade = true;
            } else if !option.is_empty() {
                let name = HeaderName::from_bytes(option).map_err(|_| ())?;
                if !END_TO_END.contains(&name.as_str()) {
                    self.named.push(name);
                }
            }
        }
        Ok(())
    }
}

/// `Connection` may not name these: taking them off would change the message, not the hop.
const END_TO_END: [&str; 4] = ["host", "authorization", "content-type", "content-encoding"];

fn shared_value(head: &Bytes, value: &[u8]) -> Result<HeaderValue, ()> {
    HeaderValue::from_maybe_shared(head.slice_ref(value)).map_err(|_| ())
}

pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = value.iter().fold(0_u64, |length, digit| length * 10 + u64::from(digit - b'0'));
    (length <= MAX_LENGTH).then_some(length)
}

/// A target in origin form, in absolute form, or `*` for OPTIONS.
fn parse_target(head: &Bytes, target: &str, method: &Method) -> Result<Uri, Reason> {
    let allowed = target.starts_with('/')
        || target.starts_with("http://")
        || target.starts_with("https://")
        || (target == "*" && *method == Method::OPTIONS);
    if !allowed || target.contains('#') {
        return Err(Reason::BadRequest);
    }
    Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).map_err(|_| Reason::BadRequest)
}

/// A host, perhaps with a port; or nothing.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value.strip_prefix(b"[") {
        Some(literal) => match literal.iter().position(|byte| *byte == b']') {
            Some(end) => {
                (literal.get(..end).unwrap_or_default(), literal.get(end + 1..).unwrap_or_default())
            }
            None => return false,
        },
        None => value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len())),
    };
    let name_ok = if value.starts_with(b"[") {
        name.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'%'))
    } else {
        name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte))
    };
    let port_ok = match port.split_first() {
        None => true,
        Some((b':', digits)) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    name_ok && port_ok
}

#[cfg(test)]
mod tests;

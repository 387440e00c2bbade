//! HTTP/1 heads: read strictly here, written plainly by [`encode`].
//!
//! What concerns one hop (RFC 9110 section 7.6.1) is read here and kept out of the list of fields, so
//! that nothing further in can pass it on, and nothing has to be taken out again.

use crate::fields::Fields;
use crate::framing::{Framing, is_bodiless};
use crate::message::{Request, RequestParts, Response, ResponseParts};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use memchr::memmem::Finder;
use std::ops::Range;
use std::sync::LazyLock;
use tidegate_api::reason::Reason;

pub mod encode;
mod lines;
mod upgrade;

use lines::{Lines, RequestLine, StatusLine};

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
        if read.is_empty() {
            return Ok(None);
        }
        // Mostly all of it comes at once. Whoever reads the head refuses lines that end in another way.
        if self.seen == 0
            && let Some(at) = END.find(read)
            && at + END.needle().len() <= max
        {
            return Ok(Some(at + END.needle().len()));
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
    let mut lines = Lines::new(&head);
    let RequestLine { method, target, minor } = lines.request_line().ok_or(Reason::BadRequest)?;
    let method = Method::from_bytes(method).map_err(|_| Reason::BadRequest)?;
    let uri = parse_target(&head, target, &method)?;
    let (mut headers, hop) = read_fields(&head, lines)?;
    if !has_one_host(&headers, minor) {
        return Err(Reason::BadRequest);
    }
    if hop.chunked && (minor == 0 || hop.length.is_some()) {
        // RFC 9112 section 6.1: an attempt to smuggle, or a sender that can't know better.
        return Err(Reason::BadRequest);
    }
    let framing =
        if hop.chunked { Framing::Chunked } else { Framing::Length(hop.length.unwrap_or(0)) };
    let may_upgrade = hop.wants_upgrade && minor == 1 && framing == Framing::Length(0);
    let upgrade = hop.upgrade.filter(|_| may_upgrade).and_then(upgrade::without_http2);
    for name in hop.named {
        headers.remove(name);
    }
    let keep_alive = !hop.close && (minor == 1 || hop.keep_alive);
    let expects_continue = hop.expects_continue && minor == 1;
    let version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let parts = RequestParts { method, uri, version, headers, upgrade };
    let request = Request::from_parts(Box::new(parts), ());
    Ok(RequestHead { request, framing, keep_alive, expects_continue })
}

/// Reads an answer's whole head. `to` is the method it answers.
///
/// # Errors
/// If it is malformed.
pub fn parse_response(head: Bytes, to: &Method) -> Result<ResponseHead, MalformedAnswer> {
    const MALFORMED: MalformedAnswer = MalformedAnswer(());
    let mut lines = Lines::new(&head);
    let StatusLine { code, minor } = lines.status_line().ok_or(MALFORMED)?;
    let status =
        StatusCode::from_u16(code).ok().filter(|status| status.as_u16() < 600).ok_or(MALFORMED)?;
    let (mut headers, hop) = read_fields(&head, lines).map_err(|_| MALFORMED)?;
    if hop.chunked && (minor == 0 || hop.length.is_some()) {
        return Err(MALFORMED);
    }
    for name in hop.named {
        headers.remove(name);
    }
    let bodiless = is_bodiless(to, status);
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
    let keep_alive = !hop.close && (minor == 1 || hop.keep_alive) && framing != Framing::UntilClose;
    let upgrade = hop.upgrade.filter(|_| hop.wants_upgrade);
    let response = Response::from_parts(Box::new(ResponseParts { status, headers }), ());
    Ok(ResponseHead { response, framing, keep_alive, upgrade })
}

/// RFC 9112 section 3.2: one Host in HTTP/1.1, at most one in HTTP/1.0.
fn has_one_host(headers: &Fields, minor: u8) -> bool {
    let mut hosts = headers.get_all("host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, _) => minor == 0,
        (Some(_), Some(_)) => false,
    }
}

/// Sorts a head's fields: those that go on, and what the others say.
fn read_fields(head: &Bytes, mut lines: Lines<'_>) -> Result<(Fields, Hop), Reason> {
    let mut hop = Hop::default();
    let mut end_to_end = Fields::of_head(head.clone());
    let mut count = 0;
    while let Some(line) = lines.field().map_err(|_| Reason::BadRequest)? {
        count += 1;
        if count > MAX_FIELDS {
            return Err(Reason::HeaderTooLarge);
        }
        let part = |place: &Range<usize>| head.get(place.clone()).unwrap_or_default();
        match special(part(&line.name)).map_err(|()| Reason::BadRequest)? {
            None => end_to_end.push_read(line.name, line.value, line.is_plain),
            Some(meaning) => {
                hop.read(meaning, head, part(&line.value)).map_err(|()| Reason::BadRequest)?;
            }
        }
    }
    Ok((end_to_end, hop))
}

/// What a field's name means here. A name that is one of these but for an underscore is refused:
/// some readers take the two for the same.
pub(crate) fn special(name: &[u8]) -> Result<Option<Special>, ()> {
    let first = name.first().map_or(0, u8::to_ascii_lowercase);
    let (known, meaning): (&[u8], _) = match (name.len(), first) {
        (2, _) => (b"te", Special::Ignored),
        (6, _) => (b"expect", Special::Expect),
        (7, b't') => (b"trailer", Special::Ignored),
        (7, _) => (b"upgrade", Special::Upgrade),
        (10, b'c') => (b"connection", Special::Connection),
        (10, _) => (b"keep-alive", Special::Ignored),
        (14, _) => (b"content-length", Special::ContentLength),
        (16, _) => (b"proxy-connection", Special::Ignored),
        (17, _) => (b"transfer-encoding", Special::TransferEncoding),
        (19, _) => (b"proxy-authorization", Special::Ignored),
        _ => return Ok(None),
    };
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    if !name.iter().zip(known).all(|(byte, known)| dashed(byte) == *known) {
        return Ok(None);
    }
    if name.contains(&b'_') { Err(()) } else { Ok(Some(meaning)) }
}

impl Hop {
    /// Takes in what a field says that means this. An error: nobody may say so.
    fn read(&mut self, meaning: Special, head: &Bytes, value: &[u8]) -> Result<(), ()> {
        match meaning {
            Special::Ignored => {}
            Special::ContentLength => {
                let length = parse_length(value).filter(|_| self.length.is_none()).ok_or(())?;
                self.length = Some(length);
            }
            Special::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(());
                }
                self.chunked = true;
            }
            Special::Connection => self.read_connection(value)?,
            Special::Upgrade => {
                let line = shared_value(head, value)?;
                self.upgrade = Some(upgrade::joined(self.upgrade.take(), line)?);
            }
            Special::Expect => {
                if self.expects_continue || !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(());
                }
                self.expects_continue = true;
            }
        }
        Ok(())
    }

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
fn parse_target(head: &Bytes, target: &[u8], method: &Method) -> Result<Uri, Reason> {
    let allowed = target.starts_with(b"/")
        || target.starts_with(b"http://")
        || target.starts_with(b"https://")
        || (target == b"*" && *method == Method::OPTIONS);
    if !allowed || target.contains(&b'#') {
        return Err(Reason::BadRequest);
    }
    let uri = Uri::from_maybe_shared(head.slice_ref(target)).map_err(|_| Reason::BadRequest)?;
    // What becomes the Host field must be one: no user's name before it (RFC 9110 section 4.2.4).
    match uri.authority() {
        Some(authority) if !is_host(authority.as_str().as_bytes()) => Err(Reason::BadRequest),
        Some(_) => with_path(uri).ok_or(Reason::BadRequest),
        None => Ok(uri),
    }
}

/// `http://host?query` asks for `/?query` (RFC 9112 section 3.2.1).
fn with_path(uri: Uri) -> Option<Uri> {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if target.starts_with('/') {
        return Some(uri);
    }
    let target = format!("/{target}").parse().ok()?;
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).ok()
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

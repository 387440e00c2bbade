//! What a request offers to switch its connection to. Several lines are one list (RFC 9110 section 7.8).

use http::HeaderValue;

/// The list with one more line of it.
///
/// # Errors
/// If a line has a byte that no value may have.
pub(super) fn joined(before: Option<HeaderValue>, line: HeaderValue) -> Result<HeaderValue, ()> {
    let Some(before) = before else { return Ok(line) };
    let list = [before.as_bytes(), line.as_bytes()].join(&b", "[..]);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).map_err(|_| ())
}

/// What is left of the list without HTTP/2: behind one slot any number of requests would run, and none
/// of them would be looked at (RFC 9113 section 3.1 has done away with it).
pub(super) fn without_http2(list: HeaderValue) -> Option<HeaderValue> {
    let members = || list.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_http2 = |to: &[u8]| to.eq_ignore_ascii_case(b"h2c");
    if !members().any(is_http2) {
        return Some(list);
    }
    let left: Vec<&[u8]> = members().filter(|to| !to.is_empty() && !is_http2(to)).collect();
    if left.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(&left.join(&b", "[..])).ok()
}

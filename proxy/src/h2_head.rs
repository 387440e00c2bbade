//! HTTP/2 heads: judged as strictly as those of HTTP/1, and translated (RFC 9113 section 8).
//!
//! The h2 crate has judged the pseudo-fields' order and number, the bytes of names and values, and
//! fields that concern one hop. What it lets through and two readers could still understand in two
//! ways is refused here.

use crate::fields::Fields;
use crate::framing::{Framing, is_bodiless};
use crate::head::{MAX_FIELDS, ResponseHead, Special, is_host, parse_length, special};
use crate::message::{self, RequestParts};
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    request,
};
use tidegate_api::reason::Reason;

const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const GRPC: &[u8] = b"application/grpc";

/// What a request's head said that its body's reader must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyNotes {
    /// How long the body is, if that was said.
    pub length: Option<u64>,
    /// Whether the client waits for a word before it sends the body.
    pub expects_continue: bool,
}

/// Judges a request's head, and takes out of it what concerns this hop. What stays keeps its order.
///
/// # Errors
/// With the reason for which it is refused.
pub fn read_request(mut parts: request::Parts) -> Result<(RequestParts, BodyNotes), Reason> {
    if parts.method == Method::CONNECT {
        return Err(Reason::MethodNotAllowed);
    }
    if parts.headers.len() > MAX_FIELDS {
        return Err(Reason::HeaderTooLarge);
    }
    let mut hop: Vec<HeaderName> = Vec::new();
    if names_host_twice(&parts)? {
        hop.push(HOST);
    }
    join_cookies(&mut parts.headers)?;
    for (name, value) in &parts.headers {
        let text = value.as_bytes();
        if text.trim_ascii().len() != text.len() {
            // RFC 9113 section 8.2.1: such a field makes the message malformed.
            return Err(Reason::BadRequest);
        }
        if let Some(meaning) = special(name.as_str().as_bytes()).map_err(|()| Reason::BadRequest)? {
            match meaning {
                // `te: trailers` is the one word of it that is allowed, and gRPC asks for it.
                Special::Ignored if *name == TE => {}
                Special::ContentLength | Special::Expect | Special::Ignored => {
                    hop.push(name.clone());
                }
                _ => return Err(Reason::BadRequest),
            }
        }
    }
    let length = one(&parts.headers, &CONTENT_LENGTH)?
        .map(|length| parse_length(length.as_bytes()).ok_or(Reason::BadRequest))
        .transpose()?;
    let expects_continue = match one(&parts.headers, &EXPECT)? {
        None => false,
        Some(word) if word.as_bytes().eq_ignore_ascii_case(b"100-continue") => true,
        Some(_) => return Err(Reason::BadRequest),
    };
    let mut parts = RequestParts::from(parts);
    // Not out of the map, which would put its last field in the place of each.
    for name in hop {
        parts.headers.remove(name);
    }
    Ok((parts, BodyNotes { length, expects_continue }))
}

/// Judges the target; says whether `Host` stands beside its authority, which alone counts then.
fn names_host_twice(parts: &request::Parts) -> Result<bool, Reason> {
    let host = one(&parts.headers, &HOST)?;
    let named_twice = match (parts.uri.authority(), host) {
        (Some(authority), host) if is_host(authority.as_str().as_bytes()) => host.is_some(),
        (None, Some(host)) if !host.is_empty() && is_host(host.as_bytes()) => false,
        _ => return Err(Reason::BadRequest),
    };
    // With its query: of `?q` alone the path is said to be `/`.
    let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if path.starts_with('/') || (path == "*" && parts.method == Method::OPTIONS) {
        return Ok(named_twice);
    }
    Err(Reason::BadRequest)
}

/// RFC 9113 section 8.2.3: crumbs are one cookie again where HTTP/1 may follow.
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Reason> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined =
        HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).map_err(|_| Reason::BadRequest)?;
    headers.insert(COOKIE, joined);
    Ok(())
}

/// A field that may be there once at the most.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Reason> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() { Err(Reason::BadRequest) } else { Ok(value) }
}

/// A request's head for an upstream. `authority` stands in where the client named no host that can
/// stand there.
pub fn write_request(parts: &RequestParts, framing: Framing, authority: &str) -> Request<()> {
    let mut request = Request::new(());
    let mut headers = parts.headers.to_map_without(&[HOST, TE]);
    let host = parts.headers.get(HOST).and_then(|host| Authority::try_from(host).ok());
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = host.or_else(|| authority.parse().ok());
    let target = parts.uri.path_and_query().cloned();
    uri.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if is_grpc(&parts.headers) {
        headers.insert(TE, TRAILERS);
    }
    let has_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    if let Framing::Length(length) = framing
        && (length > 0 || has_body)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *request.method_mut() = parts.method.clone();
    // All three parts are there, which is what a target of this form needs.
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    request
}

/// Reads an answer's head, and how long its body is, if that was said. `None` if it is malformed.
pub fn read_response(response: Response<()>, to: &Method) -> Option<(ResponseHead, Option<u64>)> {
    let status = response.status();
    let length = match one(response.headers(), &CONTENT_LENGTH).ok()? {
        Some(length) => Some(parse_length(length.as_bytes())?),
        None => None,
    };
    let bodiless = is_bodiless(to, status);
    let mut head = message::Response::from(response);
    if !bodiless || status == StatusCode::NO_CONTENT {
        // Whoever writes the answer anew says its length. Without a body the field stays, as
        // nothing else tells what the body would have been.
        head.headers_mut().remove(CONTENT_LENGTH);
    }
    let length = if bodiless { Some(0) } else { length };
    let framing = length.map_or(Framing::UntilClose, Framing::Length);
    Some((ResponseHead { response: head, framing, keep_alive: true, upgrade: None }, length))
}

/// Whether a message is gRPC's.
pub fn is_grpc(headers: &Fields) -> bool {
    let media_type = headers.get(http::header::CONTENT_TYPE);
    media_type.is_some_and(|media_type| {
        media_type
            .strip_prefix(GRPC)
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields) -> String {
        let mut out = bytes::BytesMut::new();
        fields.encode(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn read(uri: &str, fields: &[(&str, &str)]) -> Result<(Fields, BodyNotes), Reason> {
        let mut request = Request::builder().method("POST").uri(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        read_request(parts).map(|(parts, notes)| (parts.headers, notes))
    }

    #[test]
    fn what_concerns_the_hop_is_taken_out() {
        let (headers, notes) = read(
            "http://t/p",
            &[
                ("content-length", "5"),
                ("expect", "100-Continue"),
                ("te", "trailers"),
                ("cookie", "a=1"),
                ("x", "y"),
                ("cookie", "b=2"),
                ("host", "other"),
            ],
        )
        .unwrap();
        assert_eq!(notes, BodyNotes { length: Some(5), expects_continue: true });
        assert_eq!(written(&headers), "te: trailers\r\ncookie: a=1; b=2\r\nx: y\r\n");
    }

    #[test]
    fn what_an_answer_says_of_its_body_goes_and_the_rest_keeps_its_order() {
        let mut response = Response::builder();
        for (name, value) in [("a", "1"), ("content-length", "5"), ("b", "2"), ("c", "3")] {
            response = response.header(name, value);
        }
        let (head, length) = read_response(response.body(()).unwrap(), &Method::GET).unwrap();
        assert_eq!(length, Some(5));
        assert_eq!(written(head.response.headers()), "a: 1\r\nb: 2\r\nc: 3\r\n");
    }

    #[test]
    fn heads_that_could_be_read_in_two_ways_are_refused() {
        for (uri, fields) in [
            ("http://user@t/p", &[][..]),
            ("/p", &[]),
            ("http://t?q", &[]),
            ("/p", &[("host", "a"), ("host", "a")]),
            ("http://t/p", &[("host", "t"), ("host", "t")]),
            ("/p", &[("host", "a b")]),
            ("http://t/p", &[("x", " lead")]),
            ("http://t/p", &[("transfer_encoding", "chunked")]),
            ("http://t/p", &[("content_length", "9")]),
            ("http://t/p", &[("transfer-encoding", "chunked")]),
            ("http://t/p", &[("content-length", "+9")]),
            ("http://t/p", &[("content-length", "9"), ("content-length", "9")]),
            ("http://t/p", &[("expect", "something")]),
        ] {
            assert_eq!(read(uri, fields).map(drop), Err(Reason::BadRequest), "{uri} {fields:?}");
        }
        let many: Vec<(String, String)> =
            (0..101).map(|n| (format!("x{n}"), n.to_string())).collect();
        let many: Vec<(&str, &str)> =
            many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read("http://t/p", &many).map(drop), Err(Reason::HeaderTooLarge));
    }

    #[test]
    fn requests_for_an_upstream() {
        let write = |fields: &[(&str, &str)], framing| {
            let mut request = Request::builder().method("POST").uri("/p?q");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            write_request(&parts.into(), framing, "127.0.0.1:80")
        };
        let request = write(&[("host", "t:1"), ("te", "trailers")], Framing::Length(3));
        assert_eq!(request.uri(), "http://t:1/p?q");
        assert_eq!(request.headers()["content-length"], "3");
        assert_eq!(request.headers().len(), 1);
        let given = [("a", "1"), ("host", "t"), ("b", "2"), ("te", "trailers"), ("c", "3")];
        let request = write(&given, Framing::Length(0));
        let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["a", "b", "c", "content-length"]);
        let request = write(&[("content-type", "application/grpc+proto")], Framing::Chunked);
        assert_eq!(request.uri(), "http://127.0.0.1:80/p?q");
        assert_eq!(request.headers()["te"], "trailers");
    }

    #[test]
    fn grpc_by_its_media_type() {
        for (media_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = [("content-type", media_type)].into_iter().collect();
            assert_eq!(is_grpc(&headers), expected, "{media_type}");
        }
    }
}

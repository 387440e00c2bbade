//! A request as it goes to the upstream: the route's prefix off, what concerned one hop not there.

use crate::error::Refusal;
use crate::forwarded;
use crate::framing::Framing;
use crate::h2_head::is_grpc;
use crate::head::encode::{encode_end, encode_request_line};
use crate::hop::{ForwardedHeaders, Peer};
use crate::identity::Identity;
use crate::message::RequestParts;
use crate::outbound::{Head, Outbound};
use crate::request_body::RequestBody;
use bytes::BytesMut;
use clap::ValueEnum;
use http::header::{HOST, TE};
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use http_body::Body;
use tidegate_api::reason::Reason;

/// Room for an ordinary head, so that writing it allocates once.
const HEAD_BYTES: usize = 512;

/// What requests go to an upstream as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum UpstreamProtocol {
    /// gRPC as HTTP/2, other requests as they came. What came over HTTP/2 goes as HTTP/1.1 to an
    /// upstream that speaks no HTTP/2.
    #[default]
    Auto,
    /// All as HTTP/1.1.
    Http1,
    /// All but upgrades as HTTP/2 without TLS, with prior knowledge.
    H2c,
}

/// What the upstream is told besides what the client said.
pub struct Told<'a> {
    /// Who sent the request.
    pub peer: &'a Peer,
    /// What is said of the hops.
    pub forwarded: ForwardedHeaders,
    /// What the request is known by.
    pub identity: &'a Identity,
}

/// Writes the request for the upstream.
///
/// # Errors
/// `bad-request` if the target is no path.
pub fn rewrite(
    mut parts: Box<RequestParts>,
    strip: usize,
    body: RequestBody,
    protocol: UpstreamProtocol,
    told: &Told<'_>,
) -> Result<Outbound, Refusal> {
    let upgrades = parts.upgrade.is_some();
    let as_http2 = match protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Auto => parts.version == Version::HTTP_2,
        UpstreamProtocol::H2c => !upgrades,
    };
    let lines = if as_http2 {
        forwarded::write(&mut parts, told.peer, told.forwarded);
        told.identity.insert(&mut parts.headers);
        None
    } else {
        if parts.version == Version::HTTP_2 {
            // It would need a `Connection: te` of its own, and no upstream waits for it.
            parts.headers.remove(TE);
        }
        forwarded::lines(&mut parts, told.peer, told.forwarded)
    };
    if let Some(authority) = parts.uri.authority() {
        // RFC 9112 section 3.2.2: the target's authority counts, whatever Host says.
        let host = authority.as_str().to_owned();
        parts.headers.insert(HOST, host);
    }
    if strip > 0 {
        parts.uri = without_prefix(&parts.uri, strip).ok_or(Reason::BadRequest)?;
    }
    let framing = body.size_hint().exact().map_or(Framing::Chunked, Framing::Length);
    let method = parts.method.clone();
    // What must be HTTP/2 is not turned into anything else.
    let only_http2 = as_http2 && (protocol == UpstreamProtocol::H2c || is_grpc(&parts.headers));
    let head = if as_http2 {
        Head::Http2 { parts, only: only_http2 }
    } else {
        let mut head = BytesMut::with_capacity(HEAD_BYTES);
        begin_http1(&parts, &mut head);
        head.extend_from_slice(lines.as_deref().unwrap_or_default());
        told.identity.encode(&mut head);
        end_http1(&parts, framing, &mut head);
        Head::Http1(head)
    };
    Ok(Outbound { head, method, framing, body, spent: false })
}

/// The head for HTTP/1.1 of a request that was to go as HTTP/2.
pub fn http1_head(mut parts: RequestParts, framing: Framing) -> BytesMut {
    parts.headers.remove(TE);
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    begin_http1(&parts, &mut head);
    end_http1(&parts, framing, &mut head);
    head
}

/// The first line and the fields that the client sent.
fn begin_http1(parts: &RequestParts, head: &mut BytesMut) {
    encode_request_line(parts, head);
    parts.headers.encode(head);
}

/// The fields that concern this hop, and the empty line.
fn end_http1(parts: &RequestParts, framing: Framing, head: &mut BytesMut) {
    // RFC 9110 section 8.6: methods that have a body say so even if it is empty.
    let has_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    let said = Some(framing).filter(|framing| *framing != Framing::Length(0) || has_body);
    encode_end(said, parts.upgrade.as_ref(), head);
}

fn without_prefix(uri: &Uri, strip: usize) -> Option<Uri> {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = target.get(strip..)?;
    if rest.starts_with('/') {
        return rest.parse().ok();
    }
    format!("/{rest}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;
    use crate::hop::TrustedHops;
    use crate::identity::Sampling;
    use http::request;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn targets_without_their_prefix() {
        for (uri, strip, expected) in [
            ("/a/b?c=d", 2, "/b?c=d"),
            ("/a", 2, "/"),
            ("/a?b", 2, "/?b"),
            ("http://host/a/b", 2, "/b"),
        ] {
            let found = without_prefix(&uri.parse().unwrap(), strip);
            assert_eq!(
                found.map(|uri| uri.to_string()).as_deref(),
                Some(expected),
                "{uri} {strip}"
            );
        }
    }

    #[test]
    fn heads_as_they_go_out() {
        let head = |request: request::Builder, strip, body: Option<&'static str>| {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let body =
                body.map_or(RequestBody::Empty, |body| RequestBody::Whole(Some(body.into())));
            let mut known: Fields =
                [("x-request-id", "a"), ("traceparent", TRACE)].into_iter().collect();
            // It goes on among the client's own, so nothing is said of it here.
            let identity = Identity::establish(&mut known, Sampling::ALL);
            let peer = TrustedHops::NONE.peer([127, 0, 0, 1].into());
            let told = Told { peer: &peer, forwarded: ForwardedHeaders::Off, identity: &identity };
            let outbound =
                rewrite(Box::new(parts.into()), strip, body, UpstreamProtocol::Auto, &told)
                    .unwrap();
            let Head::Http1(head) = outbound.head else { panic!("must go as HTTP/1.1") };
            String::from_utf8(head.to_vec()).unwrap()
        };
        let get =
            http::Request::get("/a/b?c").header("host", "t").header("x-b", "2").header("x-a", "1");
        assert_eq!(head(get, 2, None), "GET /b?c HTTP/1.1\r\nhost: t\r\nx-b: 2\r\nx-a: 1\r\n\r\n");
        let post = http::Request::post("http://other/p").header("host", "t");
        assert_eq!(
            head(post, 0, Some("abc")),
            "POST /p HTTP/1.1\r\nhost: other\r\ncontent-length: 3\r\n\r\n"
        );
        let empty = http::Request::post("/p").header("host", "t");
        assert_eq!(
            head(empty, 0, None),
            "POST /p HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n"
        );
    }
}

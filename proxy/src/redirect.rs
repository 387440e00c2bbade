//! What is answered where no TLS is spoken: that the same is to be had over HTTPS.

use crate::body::ProxyBody;
use crate::connection::refuse;
use crate::error::Refusal;
use crate::guard;
use crate::head::{HeadScan, parse_request};
use crate::listeners::HTTPS_PORT;
use crate::message::{Request, Response};
use crate::respond;
use crate::stack::Stack;
use crate::wire::Outgoing;
use http::Uri;
use http::header::HOST;
use http::uri::Authority;
use http_body_util::Empty;
use std::future::poll_fn;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use tidegate_api::reason::Reason;
use tokio::net::TcpStream;

/// Answers a connection's one request.
pub async fn redirect(stream: TcpStream, from: IpAddr, stack: Arc<Stack>, port: NonZeroU16) {
    let Some((peer, inbound)) = stack.arrive(stream, from).await else { return };
    let mut scan = HeadScan::default();
    let reading = poll_fn(|cx| inbound.poll_head(cx, &mut scan, stack.limits.max_head_bytes));
    let head = match tokio::time::timeout(stack.limits.header_timeout, reading).await {
        Ok(Ok(Some(head))) => parse_request(head),
        Ok(Ok(None)) => return,
        Ok(Err(reason)) => Err(reason),
        Err(_) if inbound.has_bytes() => Err(Reason::RequestTimeout),
        Err(_) => return,
    };
    let response = head.map_err(Refusal::from).and_then(|head| {
        // Its body is not read, whatever its length.
        let request = head.request.map(|()| Empty::<&[u8]>::new());
        guard::check(&request, &stack.limits)?;
        moved(&request, port).ok_or_else(|| Reason::BadRequest.into())
    });
    let response = match response {
        Ok(response) => {
            stack.unrouted.count_answered(response.status().as_u16());
            response
        }
        Err(refusal) => stack.refuse(refusal, Some(&peer)),
    };
    refuse(&inbound, &mut Outgoing::default(), response).await;
}

/// The answer, if the request names a host.
fn moved<B>(request: &Request<B>, port: NonZeroU16) -> Option<Response<ProxyBody>> {
    let host = request.headers().get(HOST).and_then(|host| std::str::from_utf8(host).ok());
    let location = location(request.uri(), host, port)?;
    Some(respond::moved(&location))
}

/// The same over HTTPS: always a whole address, so that nothing in a path can name another host.
fn location(asked: &Uri, host: Option<&str>, port: NonZeroU16) -> Option<String> {
    // RFC 9112 section 3.2.2: the target's counts, whatever Host says.
    let authority = match asked.authority() {
        Some(authority) => authority.clone(),
        None => host?.parse::<Authority>().ok()?,
    };
    let host = Some(authority.host()).filter(|host| !host.is_empty())?;
    let path = asked.path_and_query().map_or("/", |target| target.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    Some(match port {
        HTTPS_PORT => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_path_are_kept_and_the_port_is_https() {
        let other = NonZeroU16::new(8443).unwrap();
        for (asked, host, port, expected) in [
            ("/a/b?c=d&e", Some("example.com"), HTTPS_PORT, Some("https://example.com/a/b?c=d&e")),
            ("/", Some("example.com:8080"), other, Some("https://example.com:8443/")),
            ("/%2e%2e//x", Some("[::1]:80"), HTTPS_PORT, Some("https://[::1]/%2e%2e//x")),
            ("http://b:1/p", Some("a"), HTTPS_PORT, Some("https://b/p")),
            ("http://b", Some("a"), HTTPS_PORT, Some("https://b/")),
            ("*", Some("a"), HTTPS_PORT, Some("https://a/")),
            ("/", None, HTTPS_PORT, None),
            ("/", Some(""), HTTPS_PORT, None),
            ("/", Some("a/b"), HTTPS_PORT, None),
            ("/", Some("a b"), HTTPS_PORT, None),
            ("/", Some(":80"), HTTPS_PORT, None),
        ] {
            let asked: Uri = asked.parse().unwrap();
            assert_eq!(location(&asked, host, port).as_deref(), expected, "{asked} {host:?}");
        }
    }

    #[test]
    fn nothing_leads_to_another_host() {
        for (asked, host) in [
            ("//evil.example/x", "good.example"),
            ("/\\evil.example", "good.example"),
            ("/@evil.example", "good.example"),
            ("/.evil.example", "good.example"),
            ("/", "evil.example@good.example"),
            ("http://evil.example@good.example/", "good.example"),
        ] {
            let Ok(asked) = asked.parse::<Uri>() else { continue };
            let to = location(&asked, Some(host), HTTPS_PORT).unwrap();
            let to: Uri = to.parse().unwrap();
            assert_eq!(to.authority().unwrap().as_str(), "good.example", "{to}");
        }
    }
}

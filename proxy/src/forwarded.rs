//! What the next hop is told of the ones before: `X-Forwarded-*`, `Forwarded` (RFC 7239), `Via`.
//!
//! What a trusted hop says is kept and added to. What anybody else says is replaced.

use crate::fields::Fields;
use crate::hop::{ForwardedHeaders, OwnLines, Peer, node};
use crate::message::RequestParts;
use bytes::{Bytes, BytesMut};
use http::Version;
use http::header::{FORWARDED, HOST, HeaderName, VIA};
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const HTTP: &str = "http";

/// A longer `X-Forwarded-For` is not said once more in `Forwarded`.
const MAX_TRANSLATED_BYTES: usize = 1024;
/// How the names begin that tell of earlier hops.
const PREFIX: &[u8] = b"x-forwarded-";
/// Further names that hops write and applications believe.
const ALIKE: [&[u8]; 2] = [b"x-real-ip", b"x-request-id"];

/// Tells the next hop of this one, in the request's head.
pub fn write(request: &mut RequestParts, peer: &Peer, which: ForwardedHeaders) {
    remove_untrue(&mut request.headers, peer.trusted);
    if which == ForwardedHeaders::Off {
        return;
    }
    let host = host(request);
    let headers = &mut request.headers;
    if which == ForwardedHeaders::All {
        headers.insert(FORWARDED, forwarded(headers, peer, host.as_deref()));
        headers.append(VIA, via(request.version));
    }
    let chain = list(headers.get_all(FORWARDED_FOR).chain([peer.address.as_bytes()]));
    headers.insert(FORWARDED_FOR, chain);
    headers.insert_if_absent(FORWARDED_PROTO, peer.proto());
    if let Some(host) = host {
        headers.insert_if_absent(FORWARDED_HOST, host);
    }
}

/// The same as lines of a head, if the request says nothing of hops before: then the map needs no
/// change, and what was written for the request before serves again. Else `None`, and the map has
/// all of it.
pub fn lines(request: &mut RequestParts, peer: &Peer, which: ForwardedHeaders) -> Option<Bytes> {
    let tells = remove_untrue(&mut request.headers, peer.trusted);
    let host = request.headers.get(HOST);
    let (Some(host), false, None) = (host, tells, request.uri.authority()) else {
        write(request, peer, which);
        return None;
    };
    let is_same = |kept: &&OwnLines| kept.version == request.version && *kept.host == *host;
    if let Some(kept) = peer.own_lines.get().filter(is_same) {
        return Some(kept.lines.clone());
    }
    let host: Box<[u8]> = host.into();
    let mut own = RequestParts::from(http::Request::new(()).into_parts().0);
    own.version = request.version;
    own.headers.insert(HOST, &host);
    write(&mut own, peer, which);
    own.headers.remove(HOST);
    let mut lines = BytesMut::new();
    own.headers.encode(&mut lines);
    let lines = lines.freeze();
    // A connection mostly asks one host: the first is remembered.
    let kept = OwnLines { version: request.version, host, lines: lines.clone() };
    drop(peer.own_lines.set(kept));
    Some(lines)
}

/// Removes what strangers say of other hops; and what anybody says under a name with an underscore,
/// which many applications take for the one with a dash. Says whether anything is left that tells
/// of hops.
fn remove_untrue(headers: &mut Fields, trusted: bool) -> bool {
    let mut tells = false;
    headers.retain(|name| match name.first() {
        Some(b'x' | b'X') if tells_of_hops(name) => {
            let is_true = !name.contains(&b'_') && (trusted || !is_hops(name));
            tells |= is_true && is_hops(name);
            is_true
        }
        Some(b'f' | b'F') if name.eq_ignore_ascii_case(b"forwarded") => {
            tells |= trusted;
            trusted
        }
        Some(b'v' | b'V') if name.eq_ignore_ascii_case(b"via") => {
            tells = true;
            true
        }
        _ => true,
    });
    tells
}

fn tells_of_hops(name: &[u8]) -> bool {
    let is_same = |known: &[u8], name: &[u8]| {
        let dashed =
            name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
        known.len() == name.len() && dashed.eq(known.iter().copied())
    };
    ALIKE.iter().any(|known| is_same(known, name))
        || name.get(..PREFIX.len()).is_some_and(|start| is_same(PREFIX, start))
}

/// Whether a name, written with dashes, is of those that only hops may set. Anybody may name its
/// request.
fn is_hops(name: &[u8]) -> bool {
    !name.eq_ignore_ascii_case(b"x-request-id")
}

/// The host that the request was sent to.
fn host(request: &RequestParts) -> Option<Vec<u8>> {
    match request.uri.authority() {
        // RFC 9112 section 3.2.2: the target's counts, whatever Host says.
        Some(authority) => {
            let host = authority.as_str().rsplit('@').next().unwrap_or("");
            Some(host.as_bytes().to_vec())
        }
        None => request.headers.get(HOST).map(<[u8]>::to_vec),
    }
}

/// RFC 9110 section 7.6.3: the protocol's version as it came in, and who took it.
fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0 tidegate",
        Version::HTTP_2 => "2 tidegate",
        _ => "1.1 tidegate",
    }
}

/// `Forwarded`: what the hops before said of themselves, and this connection.
fn forwarded(headers: &Fields, peer: &Peer, host: Option<&[u8]>) -> Vec<u8> {
    let own = element(&peer.node, host, peer.proto().as_bytes());
    let said = headers.get_all(FORWARDED);
    let translated = if headers.contains(FORWARDED) { None } else { translated(headers) };
    list(said.chain(translated.as_deref()).chain([own.as_slice()]))
}

/// What `X-Forwarded-*` say, as `Forwarded` would. Host and protocol are those that the first hop
/// saw.
fn translated(headers: &Fields) -> Option<Vec<u8>> {
    let chain = || headers.get_all(FORWARDED_FOR);
    if chain().map(<[u8]>::len).sum::<usize>() > MAX_TRANSLATED_BYTES {
        return None;
    }
    let hops = chain().flat_map(|value| value.split(|byte| *byte == b','));
    let mut hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()).map(hop_node);
    let proto = headers.get(FORWARDED_PROTO);
    let proto = proto.filter(|proto| !proto.is_empty() && proto.iter().all(is_token));
    let host = headers.get(FORWARDED_HOST);
    let mut said = element(&hops.next()?, host, proto.unwrap_or(HTTP.as_bytes()));
    for hop in hops {
        said.extend_from_slice(b", for=");
        said.extend_from_slice(hop.as_bytes());
    }
    Some(said)
}

/// An address out of `X-Forwarded-For`, perhaps with a port. RFC 7239 section 6.2: what is no
/// address is "unknown".
fn hop_node(text: &[u8]) -> String {
    let text = std::str::from_utf8(text).unwrap_or("");
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    address.map_or_else(|| "unknown".to_owned(), node)
}

/// One element: what one hop saw.
fn element(node: &str, host: Option<&[u8]>, proto: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(64);
    text.extend_from_slice(b"for=");
    text.extend_from_slice(node.as_bytes());
    if let Some(host) = host.filter(|host| is_quotable(host)) {
        let quote: &[u8] = if host.iter().all(is_token) { b"" } else { b"\"" };
        for part in [b";host=", quote, host, quote] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b";proto=");
    text.extend_from_slice(proto);
    text
}

/// A value of several parts.
fn list<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = Vec::with_capacity(128);
    for part in parts.filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(part);
    }
    text
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn is_quotable(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !text.is_empty() && text.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hop::TrustedHops;

    /// What of a request goes on, but for its Host; `lines` are `name: value`.
    fn sent(uri: &str, lines: &[&str], trusted: bool, which: ForwardedHeaders) -> Vec<String> {
        let hops = if trusted { TrustedHops::default() } else { TrustedHops::NONE };
        let peer = hops.peer("127.0.0.1".parse().unwrap());
        let mut request = http::Request::get(uri);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut parts = RequestParts::from(parts);
        write(&mut parts, &peer, which);
        let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
        let lines =
            parts.headers.iter().map(|(name, value)| format!("{}: {}", text(name), text(value)));
        let mut lines: Vec<_> = lines.filter(|line| !line.starts_with("host: ")).collect();
        lines.sort();
        lines
    }

    const SPOOFED: &[&str] = &[
        "host: h:8080",
        "forwarded: for=evil",
        "x-forwarded-for: 1.1.1.1",
        "x-forwarded-for: 2.2.2.2",
        "x-forwarded-proto: https",
        "x-forwarded-host: evil",
        "x-forwarded-port: 443",
        "x_forwarded_for: 3.3.3.3",
        "x-forwarded_for: 3.3.3.3",
        "x_request_id: evil",
        "x-real-ip: 4.4.4.4",
        "via: 1.1 front",
        "x-forward: mine",
        "x-request-id: mine",
    ];

    #[test]
    fn what_strangers_say_is_replaced() {
        assert_eq!(
            sent("/", SPOOFED, false, ForwardedHeaders::All),
            [
                "forwarded: for=127.0.0.1;host=\"h:8080\";proto=http",
                "via: 1.1 front",
                "via: 1.1 tidegate",
                "x-forward: mine",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-host: h:8080",
                "x-forwarded-proto: http",
                "x-request-id: mine",
            ]
        );
        assert_eq!(
            sent("/", SPOOFED, false, ForwardedHeaders::XForwarded),
            [
                "via: 1.1 front",
                "x-forward: mine",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-host: h:8080",
                "x-forwarded-proto: http",
                "x-request-id: mine",
            ]
        );
        let off = sent("/", SPOOFED, false, ForwardedHeaders::Off);
        assert_eq!(off, ["via: 1.1 front", "x-forward: mine", "x-request-id: mine"]);
    }

    #[test]
    fn what_trusted_hops_say_is_added_to() {
        assert_eq!(
            sent("/", SPOOFED, true, ForwardedHeaders::All),
            [
                "forwarded: for=evil, for=127.0.0.1;host=\"h:8080\";proto=http",
                "via: 1.1 front",
                "via: 1.1 tidegate",
                "x-forward: mine",
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 127.0.0.1",
                "x-forwarded-host: evil",
                "x-forwarded-port: 443",
                "x-forwarded-proto: https",
                "x-real-ip: 4.4.4.4",
                "x-request-id: mine",
            ]
        );
        let off = sent("/", SPOOFED, true, ForwardedHeaders::Off);
        assert!(off.contains(&"x-forwarded-for: 1.1.1.1".to_owned()), "{off:?}");
        assert!(!off.iter().any(|line| line.contains('_')), "{off:?}");
    }

    #[test]
    fn a_chain_in_one_form_goes_on_in_both() {
        let forwarded = |lines: &[&str]| {
            let sent = sent("/", lines, true, ForwardedHeaders::All);
            sent[0].strip_prefix("forwarded: ").unwrap().to_owned()
        };
        let own = "for=127.0.0.1;proto=http";
        for (lines, expected) in [
            (&["x-forwarded-for: 1.2.3.4, ::1"][..], "for=1.2.3.4;proto=http, for=\"[::1]\", "),
            (
                &["x-forwarded-for: 1.2.3.4", "x-forwarded-host: h", "x-forwarded-proto: https"],
                "for=1.2.3.4;host=h;proto=https, ",
            ),
            (
                &["x-forwarded-for: 1.2.3.4:56, [::2]:7,[::3]"],
                "for=1.2.3.4;proto=http, for=\"[::2]\", for=\"[::3]\", ",
            ),
            (&["x-forwarded-for: a b;c, ,"], "for=unknown;proto=http, "),
            (&["x-forwarded-for: ,,"], ""),
            (&["x-forwarded-host: h"], ""),
            (
                &["x-forwarded-for: 1.2.3.4", "x-forwarded-host: a\"b", "x-forwarded-proto: a;b"],
                "for=1.2.3.4;proto=http, ",
            ),
            (
                &["forwarded: for=_a", "forwarded: for=_b", "x-forwarded-for: 1.2.3.4"],
                "for=_a, for=_b, ",
            ),
        ] {
            assert_eq!(forwarded(lines), format!("{expected}{own}"), "{lines:?}");
        }
        let long = format!("x-forwarded-for: {}", "1.1.1.1, ".repeat(120));
        assert_eq!(forwarded(&[&long]), own);
    }

    #[test]
    fn the_target_s_host_counts() {
        let sent = sent("http://user@b:1/p", &["host: a"], false, ForwardedHeaders::All);
        assert!(sent.contains(&"x-forwarded-host: b:1".to_owned()), "{sent:?}");
        assert!(sent[0].contains("host=\"b:1\""), "{sent:?}");
    }
}

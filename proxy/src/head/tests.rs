//! Tables of heads: what is read out of good ones, why bad ones are refused.

use super::*;

fn request(head: &str) -> Result<RequestHead, Reason> {
    let mut scan = HeadScan::default();
    let length = scan.find(head.as_bytes(), 64 << 10)?.ok_or(Reason::RequestTimeout)?;
    assert_eq!(length, head.len(), "the end was found elsewhere");
    parse_request(Bytes::copy_from_slice(head.as_bytes()))
}

#[test]
fn a_head_is_found_however_it_is_cut() {
    let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nrest";
    let mut scan = HeadScan::default();
    for end in 0..head.len() {
        let found = scan.find(&head[..end], 100).unwrap();
        assert_eq!(found, (end >= 27).then_some(27), "{end}");
        if found.is_some() {
            break;
        }
    }
}

#[test]
fn a_head_has_a_bound() {
    let mut scan = HeadScan::default();
    assert_eq!(scan.find(&[b'a'; 99], 100), Ok(None));
    assert_eq!(scan.find(&[b'a'; 100], 100), Err(Reason::HeaderTooLarge));
}

#[test]
fn what_concerns_one_hop_is_read_and_not_kept() {
    let head = request(
        "GET /p HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, x-own, host\r\nUpgrade: websocket\r\n\
         X-Own: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nX-Kept: 2\r\n\r\n",
    )
    .unwrap();
    let names: Vec<&[u8]> = head.request.headers().iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Host"[..], b"X-Kept"]);
    assert_eq!(head.request.upgrade().unwrap(), "websocket");
    assert!(head.keep_alive);
}

#[test]
fn a_target_in_absolute_form_has_a_path() {
    for (target, expected) in [
        ("http://t", "/"),
        ("http://t/", "/"),
        ("http://t/p?q", "/p?q"),
        ("http://t?q", "/?q"),
        ("https://t:1?a/b", "/?a/b"),
        ("http://t?", "/?"),
    ] {
        let head = request(&format!("GET {target} HTTP/1.1\r\nhost: t\r\n\r\n")).unwrap();
        assert_eq!(head.request.uri().path_and_query().unwrap(), expected, "{target}");
    }
}

#[test]
fn http2_is_nothing_to_switch_to() {
    let upgrade = |to: &str| {
        let lines = to.split('|').map(|to| format!("upgrade: {to}\r\n")).collect::<String>();
        let head = format!("GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\n{lines}\r\n");
        let read = request(&head).unwrap();
        read.request.upgrade().map(|to| to.to_str().unwrap().to_owned())
    };
    for (lines, goes_on) in [
        ("websocket,echo", Some("websocket,echo")),
        ("websocket|echo", Some("websocket, echo")),
        ("h2c", None),
        ("H2C", None),
        ("h2c|h2c,,", None),
        ("websocket,h2c", Some("websocket")),
        ("h2c , websocket", Some("websocket")),
        ("h2c|websocket", Some("websocket")),
        ("websocket|h2c", Some("websocket")),
        ("websocket|h2c, echo", Some("websocket, echo")),
    ] {
        assert_eq!(upgrade(lines).as_deref(), goes_on, "{lines}");
    }
}

#[test]
fn framing_and_keep_alive() {
    for (head, framing, keep_alive) in [
        ("GET / HTTP/1.1\r\nhost: t\r\n\r\n", Framing::Length(0), true),
        ("GET / HTTP/1.0\r\n\r\n", Framing::Length(0), false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Framing::Length(0), true),
        ("POST / HTTP/1.1\r\nhost: t\r\nContent-Length: 7\r\n\r\n", Framing::Length(7), true),
        (
            "POST / HTTP/1.1\r\nhost: t\r\nTransfer-Encoding: CHUNKED\r\nconnection: Close\r\n\r\n",
            Framing::Chunked,
            false,
        ),
    ] {
        let read = request(head).unwrap();
        assert_eq!((read.framing, read.keep_alive), (framing, keep_alive), "{head:?}");
    }
}

#[test]
fn heads_that_readers_could_disagree_on_are_refused() {
    for fields in [
        "Content-Length: 46\r\nTransfer-Encoding: chunked",
        "Content-Length: 0\r\nContent-Length: 41",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3, 3",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5,",
        "Content-Length: 5a",
        "Content-Length:",
        "Content-Length: 9223372036854775812",
        "Content-Length: 5\0",
        "Content-Length: ５",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer_Encoding: chunked",
        "content_length: 3",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        ": x",
        "X",
        "X\0Y: z",
        "X: a\r\n\r",
        "Host: a.local, b.local",
        "Host: user@evil.local",
        "Host: a.local:80:90",
        "Expect: nonsense",
        "Expect: 100-continue\r\nExpect: x",
    ] {
        let head = format!("POST /p HTTP/1.1\r\n{fields}\r\n\r\n");
        assert_eq!(request(&head).err(), Some(Reason::BadRequest), "{fields:?}");
    }
    for line in [
        "GET\t/\tHTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET / HTTP/+1.1",
        "G@T / HTTP/1.1",
        "GET /p#frag HTTP/1.1",
        "GET ftp://t.local/ HTTP/1.1",
        "GET http://user@t.local/ HTTP/1.1",
        "GET http://user:word@t.local/ HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT 10.0.0.1:22 HTTP/1.1",
        "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked",
    ] {
        let head = format!("{line}\r\nHost: t\r\n\r\n");
        assert_eq!(request(&head).err(), Some(Reason::BadRequest), "{line:?}");
    }
}

#[test]
fn hosts() {
    for good in ["", "t", "t.local:80", "10.0.0.1", "[::1]", "[::1]:8080", "a_b"] {
        assert!(is_host(good.as_bytes()), "{good:?}");
    }
    for bad in ["a,b", "a b", "u@a", "a:80:90", "a:x", "a/b", "[::1", "[::1]x", "a:999999", "a\\b"]
    {
        assert!(!is_host(bad.as_bytes()), "{bad:?}");
    }
}

#[test]
fn answers() {
    let parse =
        |head: &str, to: &Method| parse_response(Bytes::copy_from_slice(head.as_bytes()), to);
    for (head, to, framing, keep_alive) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::GET, Framing::Length(3), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::HEAD, Framing::Length(0), true),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
            Method::GET,
            Framing::Length(0),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Method::GET,
            Framing::Chunked,
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Method::GET, Framing::UntilClose, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", Method::GET, Framing::Length(3), false),
    ] {
        let read = parse(head, &to).unwrap();
        assert_eq!((read.framing, read.keep_alive), (framing, keep_alive), "{head:?}");
    }
    for bad in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 999 X\r\n\r\n",
        "garbage\r\n\r\n",
    ] {
        assert!(parse(bad, &Method::GET).is_err(), "{bad:?}");
    }
}

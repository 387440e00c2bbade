//! The PROXY protocol, versions 1 and 2: what a balancer that passes connections on says of the
//! client, before the client's first byte
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! Read strictly, as far as the client's address: what is not to the letter of it ends the
//! connection. Believed of trusted hops only.

use crate::hop::{HopSettings, Peer, ProxyProtocol};
use bytes::BytesMut;
use prometheus::IntCounter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const MAX_V1_BYTES: usize = 107;
/// The bytes of version 2 before the addresses.
const V2_HEAD_BYTES: usize = 16;
/// The longest header of version 2 that is taken: addresses, and as much as a certificate's names.
const MAX_V2_BYTES: usize = 4096;
/// Why nothing is refused: nothing was asked. Some balancers look so whether anybody listens.
const NOTHING_CAME: &str = "nothing came";

/// Who comes, and what was read of its bytes that is not the header.
#[derive(Debug)]
pub struct Arrival {
    /// The other end, as the header has it.
    pub peer: Peer,
    /// The client's first bytes.
    pub early: BytesMut,
}

/// What bytes at a connection's begin are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    /// A header as far as they go.
    More,
    /// No header.
    Absent,
    /// A header.
    Found {
        /// Its bytes.
        length: usize,
        /// The client's address. Without one the connection is the balancer's own.
        source: Option<IpAddr>,
    },
    /// A header with this wrong.
    Malformed(&'static str),
}

/// Reads the header of a connection from this address. `None`, and counted, if it may not go on;
/// the reason is in the log.
pub async fn arrive(
    stream: &mut TcpStream,
    from: IpAddr,
    hops: &HopSettings,
    timeout: Duration,
    refused: &IntCounter,
) -> Option<Arrival> {
    let peer = hops.trusted.peer(from);
    let is_required = match hops.proxy_protocol {
        ProxyProtocol::Off => return Some(Arrival { peer, early: BytesMut::new() }),
        ProxyProtocol::Optional if !peer.trusted => {
            return Some(Arrival { peer, early: BytesMut::new() });
        }
        ProxyProtocol::Optional => false,
        ProxyProtocol::Required => true,
    };
    let outcome = if peer.trusted {
        // In a box: what it reads into is larger than what most connections need.
        let reading = tokio::time::timeout(timeout, Box::pin(read(stream)));
        reading.await.unwrap_or(Err("it is too slow"))
    } else {
        Err("it comes from nobody in --trusted-hops")
    };
    let outcome = outcome.and_then(|(found, early)| match found {
        Some(Some(source)) => Ok(Arrival { peer: hops.trusted.peer(source), early }),
        Some(None) => Ok(Arrival { peer, early }),
        None if is_required => Err("it has no PROXY header"),
        None => Ok(Arrival { peer, early }),
    });
    outcome
        .inspect_err(|reason| {
            if *reason != NOTHING_CAME {
                refused.inc();
            }
            tracing::debug!(%from, reason, "refused a connection");
        })
        .ok()
}

/// The header's address if there is a header, and what was read beyond.
async fn read(stream: &mut TcpStream) -> Result<(Option<Option<IpAddr>>, BytesMut), &'static str> {
    let gone = |_| "it broke off";
    let mut seen = BytesMut::new();
    let mut next = [0; MAX_V2_BYTES];
    loop {
        // Looked at first, so that nothing is taken that belongs to whoever reads on.
        let room = next.len() - seen.len().min(next.len() - 1);
        let count = stream.peek(next.get_mut(..room).unwrap_or_default()).await.map_err(gone)?;
        let taken = seen.len();
        seen.extend_from_slice(next.get(..count).unwrap_or_default());
        let (found, length) = match scan(&seen) {
            Scan::More if seen.is_empty() => return Err(NOTHING_CAME),
            Scan::More if count == 0 => return Err("it broke off"),
            Scan::More => (None, seen.len()),
            Scan::Absent => {
                seen.truncate(taken);
                return Ok((None, seen));
            }
            Scan::Found { length, source } => (Some(source), length),
            Scan::Malformed(what) => return Err(what),
        };
        // What was looked at is there to be read.
        let rest = length.saturating_sub(taken).min(count);
        let rest = next.get_mut(..rest).unwrap_or_default();
        stream.read_exact(rest).await.map_err(gone)?;
        if let Some(source) = found {
            return Ok((Some(source), BytesMut::new()));
        }
    }
}

fn scan(bytes: &[u8]) -> Scan {
    let begins = |with: &[u8]| bytes.starts_with(with) || with.starts_with(bytes);
    if bytes.starts_with(V1) {
        scan_v1(bytes)
    } else if bytes.starts_with(V2) {
        scan_v2(bytes)
    } else if begins(V1) || begins(V2) {
        Scan::More
    } else {
        Scan::Absent
    }
}

fn scan_v1(bytes: &[u8]) -> Scan {
    let line = bytes.get(..MAX_V1_BYTES).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        let is_full = line.len() == MAX_V1_BYTES;
        return if is_full { Scan::Malformed("its PROXY line is too long") } else { Scan::More };
    };
    let text = line.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    match text.and_then(|text| source_v1(text.strip_prefix("PROXY ")?)) {
        Some(source) => Scan::Found { length: end + 1, source },
        None => Scan::Malformed("its PROXY line is malformed"),
    }
}

/// The source of `TCP4 SOURCE DESTINATION PORT PORT`; none of `UNKNOWN` and whatever follows.
fn source_v1(text: &str) -> Option<Option<IpAddr>> {
    let mut words = text.split(' ');
    let source = match words.next()? {
        "UNKNOWN" => return Some(None),
        "TCP4" => first_of_two::<Ipv4Addr>(&mut words)?,
        "TCP6" => first_of_two::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    let ports = [words.next()?, words.next()?];
    let is_whole = words.next().is_none() && ports.into_iter().all(is_port);
    is_whole.then_some(Some(source))
}

/// Source and destination, of one family.
fn first_of_two<'a, A: FromStr + Into<IpAddr>>(
    words: &mut impl Iterator<Item = &'a str>,
) -> Option<IpAddr> {
    let source = words.next()?.parse::<A>().ok()?;
    words.next()?.parse::<A>().ok()?;
    Some(source.into())
}

/// From 0 to 65535, without anything before the number.
fn is_port(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (text == "0" || !text.starts_with('0')) && text.parse::<u16>().is_ok()
}

fn scan_v2(bytes: &[u8]) -> Scan {
    let Some((head, rest)) = bytes.split_at_checked(V2_HEAD_BYTES) else { return Scan::More };
    let (Some(&[command, family, high, low]), rest) = (head.last_chunk(), rest) else {
        return Scan::More;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Scan::Malformed("its PROXY header's version or command is unknown"),
    };
    let address_bytes = match family {
        0x00 => 0,
        0x11 => 2 * (4 + 2),
        0x21 => 2 * (16 + 2),
        // Over a Unix socket: two paths.
        0x31 => 2 * 108,
        _ => return Scan::Malformed("its PROXY header's family is none of a stream's"),
    };
    if length < address_bytes {
        return Scan::Malformed("its PROXY header is too short for its addresses");
    }
    if V2_HEAD_BYTES + length > MAX_V2_BYTES {
        return Scan::Malformed("its PROXY header is too long");
    }
    if rest.len() < length {
        return Scan::More;
    }
    let source = match family {
        0x11 => rest.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        0x21 => rest.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        _ => None,
    };
    Scan::Found { length: V2_HEAD_BYTES + length, source: source.filter(|_| !is_local) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, payload].concat()
    }

    fn found(bytes: &[u8], source: Option<&str>) {
        let source = source.map(|source| source.parse().unwrap());
        let expected = Scan::Found { length: bytes.len(), source };
        assert_eq!(scan(bytes), expected, "{}", bytes.escape_ascii());
        let more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(scan(&more), expected, "{}", more.escape_ascii());
        for cut in 0..bytes.len() {
            assert_eq!(scan(&bytes[..cut]), Scan::More, "{}", bytes[..cut].escape_ascii());
        }
    }

    #[test]
    fn headers_are_found_however_they_come() {
        found(b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n", Some("192.0.2.7"));
        found(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n", Some("2001:db8::7"));
        found(b"PROXY UNKNOWN\r\n", None);
        found(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None);
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 220, 4, 1, 187];
        found(&v2(0x21, 0x11, &four), Some("192.0.2.7"));
        let six = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        found(&v2(0x21, 0x21, &[&six[..], &[0; 20]].concat()), Some("2001:db8::7"));
        // With what may follow the addresses; without them; from the balancer itself.
        found(&v2(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat()), Some("192.0.2.7"));
        found(&v2(0x21, 0x00, &[]), None);
        found(&v2(0x21, 0x31, &[7; 216]), None);
        found(&v2(0x20, 0x11, &four), None);
        found(&v2(0x20, 0x00, &[1, 2, 3]), None);
        found(&v2(0x21, 0x11, &[1; MAX_V2_BYTES - V2_HEAD_BYTES]), Some("1.1.1.1"));
    }

    #[test]
    fn what_is_not_to_the_letter_is_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1_BYTES));
        for text in [
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 1\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324 65536\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 +1 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 01 443\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1  443\r\n",
            "PROXY TCP4 192.0.2.7  10.0.0.1 1 443\r\n",
            "PROXY TCP4 192.0.2.07 10.0.0.1 1 443\r\n",
            "PROXY TCP4 192.0.2 10.0.0.1 1 443\r\n",
            "PROXY TCP4 2001:db8::7 ::1 1 443\r\n",
            "PROXY TCP6 192.0.2.7 10.0.0.1 1 443\r\n",
            "PROXY TCP5 192.0.2.7 10.0.0.1 1 443\r\n",
            "PROXY  TCP4 192.0.2.7 10.0.0.1 1 443\r\n",
            "PROXY \r\n",
            "PROXY unknown\r\n",
            &long,
            long.get(..MAX_V1_BYTES).unwrap(),
        ] {
            assert!(matches!(scan(text.as_bytes()), Scan::Malformed(_)), "{text:?}");
        }
        assert!(matches!(scan(b"PROXY UNKNOWN \xff\r\n"), Scan::Malformed(_)));
        for bytes in [
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &[0; MAX_V2_BYTES - V2_HEAD_BYTES + 1]),
        ] {
            assert!(matches!(scan(&bytes), Scan::Malformed(_)), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_else_clients_begin_with_is_no_header() {
        for text in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROPFIND / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"PUT",
            b"proxy TCP4",
            b"PROXYTCP4",
            b"\r\nGET",
            b"\r\n\r\nG",
            b"\x16\x03\x01",
        ] {
            assert_eq!(scan(text), Scan::Absent, "{}", text.escape_ascii());
        }
        assert_eq!(scan(b""), Scan::More);
    }
}

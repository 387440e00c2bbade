//! What a gateway asks of sidecars: to refuse a request that can go elsewhere rather than to let it
//! wait. It says how long the request has waited so far and, if the sidecar has told it of a slot, the
//! pass that came with that.

use crate::fields::Fields;
use crate::outbound::Head;
use crate::policy::precedence::Hurry;
use http::HeaderName;
use memchr::memmem;
use std::time::{Duration, Instant};
use tidegate_api::names::header;

const NO_WAIT: HeaderName = HeaderName::from_static(header::NO_WAIT);
/// Microseconds that it has waited, and its pass: always so long, so that it can be put right in a
/// head that is written already.
const AT_ONCE: &str = "0000000000 00000000000000000000";

/// Asks that a request be refused rather than wait, if it can go elsewhere.
pub fn ask(headers: &mut Fields, goes_elsewhere: bool) {
    headers.remove(NO_WAIT);
    if goes_elsewhere {
        headers.insert(NO_WAIT, AT_ONCE);
    }
}

/// Says of a request that asks so how long it has waited by now, and with which pass it comes.
pub fn say(head: &mut Head, waited: Duration, pass: Option<u64>) {
    let micros = waited.as_micros().min(u128::from(u32::MAX));
    let value = format!("{micros:010} {:020}", pass.unwrap_or(0));
    match head {
        Head::Http1(bytes) => {
            // At a line's begin it is no part of another field.
            let line = [b"\r\n", header::NO_WAIT.as_bytes(), b": "].concat();
            let begin = memmem::find(bytes, &line).map(|at| at + line.len());
            let place = begin.and_then(|begin| bytes.get_mut(begin..begin + value.len()));
            if let Some(place) = place {
                place.copy_from_slice(value.as_bytes());
            }
        }
        Head::Http2 { parts, .. } if parts.headers.contains(NO_WAIT) => {
            parts.headers.insert(NO_WAIT, value);
        }
        Head::Http2 { .. } => {}
    }
}

/// How a request that came at `arrived` hurries, if it is to be refused rather than to wait. A
/// stranger's wish is none, and the upstream is not told.
pub fn read(headers: &mut Fields, trusted: bool, arrived: Instant) -> Option<Hurry> {
    let said = headers.get(NO_WAIT)?;
    let mut numbers = std::str::from_utf8(said).unwrap_or_default().split(' ').map(str::parse);
    let mut number = || numbers.next().and_then(Result::ok);
    let (waited, pass): (u64, Option<u64>) = (number().unwrap_or(0), number());
    headers.remove(NO_WAIT);
    let since = arrived.checked_sub(Duration::from_micros(waited)).unwrap_or(arrived);
    trusted.then_some(Hurry { since, pass: pass.filter(|pass| *pass > 0) })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a moment to count from")]
mod tests {
    use super::*;
    use bytes::BytesMut;

    #[test]
    fn only_a_trusted_hop_hurries_and_nobody_further_is_told() {
        let now = Instant::now();
        for trusted in [true, false] {
            let mut headers = Fields::default();
            headers.insert(NO_WAIT, "strangers' words");
            ask(&mut headers, true);
            assert_eq!(headers.get(NO_WAIT), Some(AT_ONCE.as_bytes()));
            let hurry = Hurry { since: now, pass: None };
            assert_eq!(read(&mut headers, trusted, now), trusted.then_some(hurry));
            assert!(!headers.contains(NO_WAIT));
            headers.insert(NO_WAIT, "1");
            ask(&mut headers, false);
            assert_eq!(read(&mut headers, trusted, now), None);
        }
    }

    #[test]
    fn what_one_says_the_other_reads() {
        let now = Instant::now();
        let (waited, pass) = (Duration::from_micros(1_234_567), Some(42));
        let said = Some(Hurry { since: now - waited, pass });
        let mut headers = Fields::default();
        headers.insert("a", "x-tidegate-no-wait: 5");
        ask(&mut headers, true);
        headers.insert("b", "c");
        let mut bytes = BytesMut::from(&b"GET / HTTP/1.1\r\n"[..]);
        headers.encode(&mut bytes);
        let length = bytes.len();
        let mut head = Head::Http1(bytes);
        say(&mut head, waited, pass);
        let Head::Http1(bytes) = head else { panic!("it stays what it is") };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text.len(), length);
        assert!(text.contains("\r\na: x-tidegate-no-wait: 5\r\n"), "{text}");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("x-tidegate-no-wait: ")).unwrap();
        headers.insert(NO_WAIT, value);
        assert_eq!(read(&mut headers, true, now), said);
        for (odd, waited) in [("", 0), ("7", 7), ("x y", 0), ("8 0", 8), ("-1 2", 0)] {
            headers.insert(NO_WAIT, odd);
            let pass = (odd == "-1 2").then_some(2);
            let since = now - Duration::from_micros(waited);
            assert_eq!(read(&mut headers, true, now), Some(Hurry { since, pass }), "{odd}");
        }
        let mut plain = Head::Http1(BytesMut::from(&b"GET / HTTP/1.1\r\na: b\r\n\r\n"[..]));
        say(&mut plain, waited, pass);
        assert!(
            matches!(plain, Head::Http1(bytes) if bytes == b"GET / HTTP/1.1\r\na: b\r\n\r\n"[..])
        );
    }
}

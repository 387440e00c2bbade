//! What a request is known by along its way: `x-request-id`, and its trace (W3C Trace Context).
//!
//! Both are kept if they are well-formed, whoever sent them: they grant nothing. What was made up
//! here is random, keyed anew on each thread by the system.

use crate::head::encode::encode_field;
use bytes::BytesMut;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use tidegate_api::names::header;

/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(header::REQUEST_ID);
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longer ids are no ids: they are copied into every log line.
const MAX_ID_BYTES: usize = 128;
/// `00-<32 digits>-<16 digits>-<2 digits>`.
const TRACEPARENT_BYTES: usize = 55;
/// Where the trace's id stands in it.
const TRACE_ID: std::ops::Range<usize> = 3..35;

/// A request's id and trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What `x-request-id` says.
    pub request_id: HeaderValue,
    /// What `traceparent` says.
    traceparent: HeaderValue,
    /// Which of the two the request did not have.
    is_new: (bool, bool),
}

/// Which share of the traces that begin here is marked as sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling(u64);

/// A source of ids: a keyed hash of a counter.
struct Draws {
    keys: RandomState,
    count: Cell<u64>,
}

/// What a head says of identity. The inner `None`: said more than once.
#[derive(Default)]
struct Said<'a> {
    request_id: Option<Option<&'a HeaderValue>>,
    traceparent: Option<Option<&'a HeaderValue>>,
    tracestate: bool,
}

// === impl Said ===

impl<'a> Said<'a> {
    /// One look at all names, which is cheaper than a search for each.
    fn of(headers: &'a HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            let place = match name.as_str().len() {
                12 if *name == REQUEST_ID => &mut said.request_id,
                11 if *name == TRACEPARENT => &mut said.traceparent,
                10 if *name == TRACESTATE => {
                    said.tracestate = true;
                    continue;
                }
                _ => continue,
            };
            *place = Some(if place.is_none() { Some(value) } else { None });
        }
        said
    }
}

// === impl Identity ===

impl Identity {
    /// The request's own, where it is well-formed; else a new one. What is not well-formed is taken
    /// out of the head.
    pub fn establish(headers: &mut HeaderMap, sampling: Sampling) -> Self {
        let said = Said::of(headers);
        let request_id = said.request_id.flatten().filter(is_id).cloned();
        let traceparent = said.traceparent.flatten().filter(is_traceparent).cloned();
        let has = (said.request_id.is_some(), said.traceparent.is_some(), said.tracestate);
        if let (Some(request_id), Some(traceparent)) = (&request_id, &traceparent) {
            let (request_id, traceparent) = (request_id.clone(), traceparent.clone());
            return Self { request_id, traceparent, is_new: (false, false) };
        }
        let drawn = [draw(), draw()];
        let is_new = (request_id.is_none(), traceparent.is_none());
        let request_id = request_id.unwrap_or_else(|| {
            if has.0 {
                headers.remove(REQUEST_ID);
            }
            value(&id_text(drawn))
        });
        let traceparent = traceparent.unwrap_or_else(|| {
            if has.1 {
                headers.remove(TRACEPARENT);
            }
            if has.2 {
                // It belongs to a trace that is not this one.
                headers.remove(TRACESTATE);
            }
            value(&traceparent_text(drawn, draw(), sampling))
        });
        Self { request_id, traceparent, is_new }
    }

    /// That of a request whose head can't be read.
    pub fn unknown() -> Self {
        Self::establish(&mut HeaderMap::new(), Sampling::NONE)
    }

    /// Tells the next hop, in a head that is written later.
    pub fn insert(&self, headers: &mut HeaderMap) {
        for (name, value) in self.told() {
            headers.insert(name, value.clone());
        }
    }

    /// Tells the next hop, in a head that is being written.
    pub fn encode(&self, out: &mut BytesMut) {
        for (name, value) in self.told() {
            encode_field(name.as_str().as_bytes(), value.as_bytes(), out);
        }
    }

    /// What the request did not have.
    fn told(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        let id = self.is_new.0.then_some((REQUEST_ID, &self.request_id));
        id.into_iter().chain(self.is_new.1.then_some((TRACEPARENT, &self.traceparent)))
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.to_str().ok().and_then(|text| text.get(TRACE_ID)).unwrap_or("")
    }
}

// === impl Sampling ===

impl Sampling {
    /// None.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(u64::MAX);

    /// This share, from 0 to 1.
    pub fn share(share: f64) -> Self {
        // A float too large for the type becomes its largest value, which stands for all.
        Self((share * u64::MAX as f64) as u64)
    }

    /// Whether what was drawn is among the sampled.
    pub fn takes(self, drawn: u64) -> bool {
        drawn < self.0 || self == Self::ALL
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self::ALL
    }
}

/// A random number.
pub fn draw() -> u64 {
    thread_local! {
        static DRAWS: Draws = Draws { keys: RandomState::new(), count: const { Cell::new(0) } };
    }
    DRAWS.with(|draws| {
        let count = draws.count.get();
        draws.count.set(count.wrapping_add(1));
        draws.keys.hash_one(count)
    })
}

fn is_id(value: &&HeaderValue) -> bool {
    let id = value.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(is_plain)
}

fn is_traceparent(value: &&HeaderValue) -> bool {
    let text = value.as_bytes();
    let Some((known, rest)) = text.split_at_checked(TRACEPARENT_BYTES) else { return false };
    let mut parts = known.split(|byte| *byte == b'-');
    let mut hex = |length: usize| {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        parts.next().filter(|part| part.len() == length && part.iter().all(is_hex))
    };
    let (Some(version), Some(trace), Some(parent), Some(_)) = (hex(2), hex(32), hex(16), hex(2))
    else {
        return false;
    };
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    // Later versions may have more after another dash.
    let fits = match version {
        b"00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    version != b"ff" && fits && !is_zero(trace) && !is_zero(parent)
}

fn id_text(drawn: [u64; 2]) -> [u8; 32] {
    let mut text = [0; 32];
    text[..16].copy_from_slice(&hex_digits(drawn[0]));
    text[16..].copy_from_slice(&hex_digits(drawn[1]));
    text
}

fn traceparent_text(trace: [u64; 2], parent: u64, sampling: Sampling) -> [u8; TRACEPARENT_BYTES] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    text[TRACE_ID].copy_from_slice(&id_text(trace));
    // Zero is no parent.
    text[36..52].copy_from_slice(&hex_digits(parent.max(1)));
    text[54] = if sampling.takes(trace[1]) { b'1' } else { b'0' };
    text
}

fn hex_digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (index, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * index)) as usize & 15];
    }
    digits
}

fn value(digits: &[u8]) -> HeaderValue {
    // Digits and dashes are what any header may have.
    HeaderValue::from_bytes(digits).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, said) in lines {
            headers.append(name, HeaderValue::from_bytes(said.as_bytes()).unwrap());
        }
        headers
    }

    /// With the head as it goes on.
    fn established(headers: &mut HeaderMap, sampling: Sampling) -> Identity {
        let identity = Identity::establish(headers, sampling);
        identity.insert(headers);
        identity
    }

    #[test]
    fn ids_are_kept_if_they_are_well_formed() {
        let longest = "a".repeat(128);
        for (said, kept) in [
            ("a", true),
            ("A.b_c-9", true),
            (longest.as_str(), true),
            (&(longest.clone() + "a"), false),
            ("", false),
            ("a b", false),
            ("a\"}{", false),
            ("ä", false),
        ] {
            let mut headers = headers(&[(REQUEST_ID, said)]);
            let identity = established(&mut headers, Sampling::ALL);
            assert_eq!(identity.request_id == said, kept, "{said}");
            assert_eq!(headers[REQUEST_ID], identity.request_id);
            assert!(is_id(&&identity.request_id));
        }
    }

    #[test]
    fn two_ids_are_none() {
        let mut headers = headers(&[
            (REQUEST_ID, "a"),
            (REQUEST_ID, "b"),
            (TRACEPARENT, TRACE),
            (TRACEPARENT, TRACE),
        ]);
        let identity = established(&mut headers, Sampling::ALL);
        assert_eq!(headers.get_all(REQUEST_ID).iter().collect::<Vec<_>>(), [&identity.request_id]);
        assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
        assert_ne!(headers[TRACEPARENT], TRACE);
    }

    #[test]
    fn traces_are_kept_if_they_are_well_formed() {
        let (trace, parent) = ("0".repeat(32), "0".repeat(16));
        for (said, kept) in [
            (TRACE.to_owned(), true),
            (TRACE.replacen("00", "01", 1), true),
            (TRACE.replacen("00", "cc", 1) + "-what-comes", true),
            (TRACE.replacen("00", "cc", 1) + ".what-comes", false),
            (TRACE.to_owned() + "-more", false),
            (TRACE.replacen("00", "ff", 1), false),
            (TRACE.to_uppercase(), false),
            (TRACE.replace("0af7651916cd43dd8448eb211c80319c", &trace), false),
            (TRACE.replace("b7ad6b7169203331", &parent), false),
            (TRACE.replace('-', "_"), false),
            (TRACE.replacen("00-", "0-", 1), false),
            (String::new(), false),
        ] {
            let mut headers = headers(&[(TRACEPARENT, &said), (TRACESTATE, "a=b")]);
            let identity = established(&mut headers, Sampling::ALL);
            assert_eq!(headers[TRACEPARENT] == said, kept, "{said}");
            assert_eq!(headers.contains_key(TRACESTATE), kept, "{said}");
            assert_eq!(identity.trace_id().len(), 32);
            assert!(headers[TRACEPARENT].to_str().unwrap().contains(identity.trace_id()));
        }
    }

    #[test]
    fn what_begins_here_has_one_number_for_both_and_each_its_own() {
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let mut headers = HeaderMap::new();
            let identity = established(&mut headers, Sampling::ALL);
            assert!(is_traceparent(&&headers[TRACEPARENT]));
            assert_eq!(identity.request_id, identity.trace_id());
            assert!(headers[TRACEPARENT].to_str().unwrap().ends_with("-01"));
            assert!(seen.insert(identity.request_id));
        }
    }

    #[test]
    fn the_share_that_is_sampled() {
        for (share, expected) in [(0.0, 0..=0), (1.0, 10_000..=10_000), (0.25, 2_000..=3_000)] {
            let sampling = Sampling::share(share);
            let sampled = (0..10_000).filter(|_| {
                let mut headers = HeaderMap::new();
                established(&mut headers, sampling);
                headers[TRACEPARENT].to_str().unwrap().ends_with("-01")
            });
            let sampled = sampled.count();
            assert!(expected.contains(&sampled), "{share}: {sampled}");
        }
        assert!(Sampling::ALL.takes(u64::MAX) && !Sampling::NONE.takes(0));
    }

    proptest! {
        #[test]
        fn whatever_comes_what_goes_on_is_well_formed(said in prop::collection::vec(32..127u8, 0..60)) {
            let said = String::from_utf8(said).unwrap();
            let mut headers = headers(&[(REQUEST_ID, &said), (TRACEPARENT, &said)]);
            established(&mut headers, Sampling::ALL);
            prop_assert!(Said::of(&headers).request_id.flatten().is_some_and(|id| is_id(&id)));
            prop_assert!(Said::of(&headers).traceparent.flatten().is_some_and(|trace| is_traceparent(&trace)));
        }
    }
}

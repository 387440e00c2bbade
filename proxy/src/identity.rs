//! What a request is known by along its way: `x-request-id`, and its trace (W3C Trace Context).
//!
//! Both are kept if they are well-formed, whoever sent them: they grant nothing. So what is made up
//! here need only differ, not be beyond guessing.

use crate::fields::{Fields, encode_field};
use bytes::BytesMut;
use http::header::HeaderName;
use tidegate_api::names::header;

/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(header::REQUEST_ID);
const TRACEPARENT_NAME: &str = "traceparent";
const TRACEPARENT: HeaderName = HeaderName::from_static(TRACEPARENT_NAME);
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
    pub request_id: RequestId,
    /// What `traceparent` says, as far as all of its versions agree.
    traceparent: [u8; TRACEPARENT_BYTES],
    /// Which of the two the request did not have.
    is_new: (bool, bool),
}

/// A request's id: letters, digits, dots, dashes and underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    /// Drawn here.
    New([u8; 32]),
    /// What the client calls it.
    Given(Box<[u8]>),
}

/// Which share of the traces that begin here is marked as sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling(u64);

/// What a head says of identity. The inner `None`: said more than once.
#[derive(Default)]
struct Said<'a> {
    request_id: Option<Option<&'a [u8]>>,
    traceparent: Option<Option<&'a [u8]>>,
    tracestate: bool,
}

// === impl Said ===

impl<'a> Said<'a> {
    /// One look at all names, which is cheaper than a search for each.
    fn of(headers: &'a Fields) -> Self {
        let mut said = Self::default();
        for (name, value) in headers.iter() {
            let is = |known: &HeaderName| name.eq_ignore_ascii_case(known.as_str().as_bytes());
            let place = match name.len() {
                12 if is(&REQUEST_ID) => &mut said.request_id,
                11 if is(&TRACEPARENT) => &mut said.traceparent,
                10 if is(&TRACESTATE) => {
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
    pub fn establish(headers: &mut Fields, sampling: Sampling) -> Self {
        let said = Said::of(headers);
        let request_id = said.request_id.flatten().filter(|id| is_id(id));
        let request_id = request_id.map(|id| RequestId::Given(id.into()));
        let traceparent = said.traceparent.flatten().and_then(traceparent);
        let has = (said.request_id.is_some(), said.traceparent.is_some(), said.tracestate);
        let (request_id, traceparent) = match (request_id, traceparent) {
            (Some(request_id), Some(traceparent)) => {
                return Self { request_id, traceparent, is_new: (false, false) };
            }
            some_missing => some_missing,
        };
        let drawn = [draw(), draw()];
        let id = id_text(drawn);
        let is_new = (request_id.is_none(), traceparent.is_none());
        let request_id = request_id.unwrap_or_else(|| {
            if has.0 {
                headers.remove(REQUEST_ID);
            }
            RequestId::New(id)
        });
        let traceparent = traceparent.unwrap_or_else(|| {
            if has.1 {
                headers.remove(TRACEPARENT);
            }
            if has.2 {
                // It belongs to a trace that is not this one.
                headers.remove(TRACESTATE);
            }
            traceparent_text(&id, draw(), sampling.takes(drawn[1]))
        });
        Self { request_id, traceparent, is_new }
    }

    /// That of a request whose head can't be read.
    pub fn unknown() -> Self {
        Self::establish(&mut Fields::default(), Sampling::NONE)
    }

    /// Tells the next hop, in a head that is written later.
    pub fn insert(&self, headers: &mut Fields) {
        for (name, value) in self.told() {
            headers.insert(name, value);
        }
    }

    /// Tells the next hop, in a head that is being written.
    pub fn encode(&self, out: &mut BytesMut) {
        for (name, value) in self.told() {
            encode_field(name.as_bytes(), value, out);
        }
    }

    /// What the request did not have.
    fn told(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let id = self.is_new.0.then_some((header::REQUEST_ID, self.request_id.as_ref()));
        let trace = self.is_new.1.then_some((TRACEPARENT_NAME, &self.traceparent[..]));
        id.into_iter().chain(trace)
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        std::str::from_utf8(&self.traceparent[TRACE_ID]).unwrap_or("")
    }
}

// === impl RequestId ===

impl AsRef<[u8]> for RequestId {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::New(digits) => digits,
            Self::Given(id) => id,
        }
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
    fastrand::u64(..)
}

fn is_id(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(is_plain)
}

/// What all versions agree on, if it is well-formed.
fn traceparent(text: &[u8]) -> Option<[u8; TRACEPARENT_BYTES]> {
    let (known, rest) = text.split_at_checked(TRACEPARENT_BYTES)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let mut hex = |length: usize| {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        parts.next().filter(|part| part.len() == length && part.iter().all(is_hex))
    };
    let (version, trace, parent, _) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    // Later versions may have more after another dash.
    let fits = match version {
        b"00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    let is_one = version != b"ff" && fits && !is_zero(trace) && !is_zero(parent);
    known.try_into().ok().filter(|_| is_one)
}

fn id_text(drawn: [u64; 2]) -> [u8; 32] {
    let mut text = [0; 32];
    text[..16].copy_from_slice(&hex_digits(drawn[0]));
    text[16..].copy_from_slice(&hex_digits(drawn[1]));
    text
}

fn traceparent_text(trace: &[u8; 32], parent: u64, sampled: bool) -> [u8; TRACEPARENT_BYTES] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    text[TRACE_ID].copy_from_slice(trace);
    // Zero is no parent.
    text[36..52].copy_from_slice(&hex_digits(parent.max(1)));
    text[54] = if sampled { b'1' } else { b'0' };
    text
}

fn hex_digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&eight_hex_digits((number >> 32) as u32));
    digits[8..].copy_from_slice(&eight_hex_digits(number as u32));
    digits
}

/// All at once, a digit in each byte.
fn eight_hex_digits(number: u32) -> [u8; 8] {
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 in the bytes that need a letter: from 10 on, 6 more reaches the next bit.
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(HeaderName, &str)]) -> Fields {
        lines.iter().map(|(name, said)| (name, said)).collect()
    }

    /// The one value of this name.
    fn only(headers: &Fields, name: HeaderName) -> String {
        let values: Vec<_> = headers.get_all(name).collect();
        assert_eq!(values.len(), 1);
        String::from_utf8(values[0].to_vec()).unwrap()
    }

    /// With the head as it goes on.
    fn established(headers: &mut Fields, sampling: Sampling) -> Identity {
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
            let id = identity.request_id.as_ref();
            assert_eq!(id == said.as_bytes(), kept, "{said}");
            assert_eq!(only(&headers, REQUEST_ID).as_bytes(), id);
            assert!(is_id(id));
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
        assert_eq!(only(&headers, REQUEST_ID).as_bytes(), identity.request_id.as_ref());
        assert_ne!(only(&headers, TRACEPARENT), TRACE);
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
            let goes_on = only(&headers, TRACEPARENT);
            assert_eq!(goes_on == said, kept, "{said}");
            assert_eq!(headers.contains(TRACESTATE), kept, "{said}");
            assert_eq!(identity.trace_id().len(), 32);
            assert!(goes_on.contains(identity.trace_id()));
        }
    }

    #[test]
    fn what_begins_here_has_one_number_for_both_and_each_its_own() {
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let mut headers = Fields::default();
            let identity = established(&mut headers, Sampling::ALL);
            let goes_on = only(&headers, TRACEPARENT);
            assert!(traceparent(goes_on.as_bytes()).is_some() && goes_on.ends_with("-01"));
            assert_eq!(identity.request_id.as_ref(), identity.trace_id().as_bytes());
            assert!(seen.insert(identity.trace_id().to_owned()));
        }
    }

    #[test]
    fn digits() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX, 0xa0b9_c0d9_e0f9_0a9b] {
            let digits = String::from_utf8(hex_digits(number).to_vec()).unwrap();
            assert_eq!(digits, format!("{number:016x}"));
        }
    }

    #[test]
    fn the_share_that_is_sampled() {
        for (share, expected) in [(0.0, 0..=0), (1.0, 10_000..=10_000), (0.25, 2_000..=3_000)] {
            let sampling = Sampling::share(share);
            let sampled = (0..10_000).filter(|_| {
                let mut headers = Fields::default();
                established(&mut headers, sampling);
                only(&headers, TRACEPARENT).ends_with("-01")
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
            prop_assert!(Said::of(&headers).request_id.flatten().is_some_and(is_id));
            prop_assert!(Said::of(&headers).traceparent.flatten().is_some_and(|trace| traceparent(trace).is_some()));
        }
    }
}

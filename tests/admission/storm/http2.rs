//! Clients of HTTP/2, each of which asks for a few things at once on one connection. Frame by frame,
//! so that what was sent is known: a library may keep a request to itself that is taken back.

use super::Seen;
use crate::support::frames::{self, CANCEL, DATA, Frame, HEADERS, RST_STREAM, Raw, WINDOW_UPDATE};
use crate::support::now;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fewer than what is taken for a rapid reset.
const AT_ONCE: u32 = 8;

/// Some streams at once, then some more.
pub(super) fn client(data: SocketAddr, seen: &Arc<Seen>, requests: u64, until: Instant) {
    let mut raw = Raw::connect(data);
    let mut next = 1;
    for _ in 0..requests / u64::from(AT_ONCE) {
        if now() > until {
            return;
        }
        let streams: Vec<u32> = (0..AT_ONCE).map(|n| next + 2 * n).collect();
        next += 2 * AT_ONCE;
        round(&mut raw, &streams, seen);
    }
}

/// One request on each stream. Some are taken back, at once or after a while.
fn round(raw: &mut Raw, streams: &[u32], seen: &Arc<Seen>) {
    let mut open = BTreeMap::new();
    let reset = |stream| Frame::number(RST_STREAM, stream, CANCEL);
    for stream in streams {
        let (method, path, fields) = super::request();
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let head = Frame::headers(*stream, frames::request(method, path, &fields), true);
        assert!(raw.frame(&head), "the connection ended");
        seen.sent();
        match fastrand::u32(0..10) {
            0 => {
                raw.frame(&reset(*stream));
                seen.left();
            }
            leaves => drop(open.insert(*stream, (leaves == 1, 0))),
        }
    }
    // Who leaves later does so after another's answer, or after a moment.
    if fastrand::bool() {
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..30_000)));
    }
    for stream in streams {
        if matches!(open.get(stream), Some((true, _))) {
            raw.frame(&reset(*stream));
            open.remove(stream);
            seen.left();
        }
    }
    while !open.is_empty() {
        let frame = raw.next().expect("the connection goes on");
        let room = u32::try_from(frame.payload.len()).unwrap();
        if frame.kind == DATA && room > 0 {
            // Of streams that were taken back too: the connection's window is one for all.
            raw.frame(&Frame::number(WINDOW_UPDATE, 0, room));
        }
        let Some((_, status)) = open.get_mut(&frame.stream) else { continue };
        if frame.kind == HEADERS && *status == 0 {
            *status = frame.status().expect("a status that can be read");
        }
        if frame.ends_stream() {
            match frame.kind {
                RST_STREAM => seen.left(),
                _ => seen.answered(*status),
            }
            open.remove(&frame.stream);
        }
    }
    assert!(raw.is_alive(), "the connection ended");
}

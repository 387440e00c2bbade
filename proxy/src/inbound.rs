//! The client's side of a connection: its heads, its bodies, and its leaving.
//!
//! Shared between the loop that serves the connection and the body of the request that it serves:
//! both live in one task, so the lock is never waited for.

use crate::error::IncomingError;
use crate::framing::{Decoded, Decoder, Framing, has_bare_line_end};
use crate::head::encode::{ResponseHop, encode_response};
use crate::head::{HeadScan, skip_leading_breaks};
use crate::leaving::Leaving;
use crate::message::Response;
use crate::room::{Room, Taken};
use crate::wire::{Outgoing, Wire};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tidegate_api::reason::Reason;

/// How much is read ahead of what was asked for, only to see whether the client is still there.
const LOOK_AHEAD_BYTES: usize = 64 << 10;
/// How much more of a body that nobody reads yet, where there is room: as much as Linux lets a client
/// leave behind that closes its connection. The close can't be seen before that.
const LOOK_FAR_BYTES: usize = 4 << 20;
/// All connections together, beyond the first part of each.
pub const LOOK_AHEAD_ROOM_BYTES: usize = 64 << 20;
/// An unread body up to this size is read and dropped, so that the connection can be used again.
const DISCARD_BYTES: usize = 256 << 10;
/// Interim answers that wait to be written.
const MAX_INTERIM_BYTES: usize = 16 << 10;
/// RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A client's connection.
#[derive(Debug, Clone)]
pub struct Inbound(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    wire: Wire,
    decoder: Decoder,
    /// The client waits for `100 Continue` before it sends the body.
    owes_continue: bool,
    interim: Outgoing,
    /// A body's reader has asked to be woken: nobody else may ask, or it would not be.
    body_waits: bool,
    /// Nobody reads the body yet.
    body_rests: bool,
    /// What is held of a resting body beyond what each connection may hold.
    far: Taken,
    /// Sees the client leave where as much was read ahead as may be.
    leaving: Option<Box<Leaving>>,
}

/// The body of the request that a connection carries now.
#[derive(Debug)]
pub struct Http1Body(Inbound);

// === impl Inbound ===

impl Inbound {
    /// A connection from which nothing was read.
    pub fn new(wire: Wire, room: &Arc<Room>) -> Self {
        Self(Arc::new(Mutex::new(State {
            wire,
            decoder: Decoder::new(Framing::Length(0)),
            owes_continue: false,
            interim: Outgoing::default(),
            body_waits: false,
            body_rests: false,
            far: room.none_taken(),
            leaving: None,
        })))
    }

    /// The next request's head, or `None` if the client ends the connection before it.
    pub fn poll_head(
        &self,
        cx: &mut Context<'_>,
        scan: &mut HeadScan,
        max_bytes: usize,
    ) -> Poll<Result<Option<Bytes>, Reason>> {
        let mut state = self.lock();
        loop {
            skip_leading_breaks(&mut state.wire.read)?;
            if let Some(length) = scan.find(&state.wire.read, max_bytes)? {
                return Poll::Ready(Ok(Some(state.wire.read.split_to(length).freeze())));
            }
            match ready!(state.wire.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) if has_bare_line_end(&state.wire.read) => {
                    return Poll::Ready(Err(Reason::BadRequest));
                }
                Ok(0) | Err(_) => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Whether the client begins with HTTP/2's preface. Looked at once, before the first head.
    pub fn poll_speaks_http2(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        loop {
            let read = &state.wire.read;
            if read.len() >= PREFACE.len() || !PREFACE.starts_with(read) {
                return Poll::Ready(read.starts_with(PREFACE));
            }
            match ready!(state.wire.poll_fill(cx)) {
                Ok(1..) => {}
                // What is here is no preface; who reads the head sees the end.
                Ok(0) | Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Whether anything of a next request has come.
    pub fn has_bytes(&self) -> bool {
        !self.lock().wire.read.is_empty()
    }

    /// The body that follows the head just read, if there is one.
    pub fn begin_body(&self, framing: Framing, expects_continue: bool) -> Option<Http1Body> {
        let mut state = self.lock();
        state.decoder = Decoder::new(framing);
        state.owes_continue = expects_continue && !state.decoder.is_done();
        state.body_waits = false;
        state.body_rests = !state.decoder.is_done();
        state.leaving = None;
        (!state.decoder.is_done()).then(|| Http1Body(self.clone()))
    }

    /// Ready when the client has left. Call only while no answer is due to be read: what comes
    /// meanwhile is kept, up to a bound past which only an end is seen that has reached this system.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let State { wire, interim, .. } = &mut *state;
        if !(interim.is_empty() && wire.is_flushed())
            && let Poll::Ready(Err(_)) = wire.poll_write(cx, interim)
        {
            return Poll::Ready(());
        }
        if state.body_waits {
            return Poll::Pending;
        }
        while state.may_look_further() {
            // No more at once than there was seen to be room for, whatever the buffer has.
            match ready!(state.wire.poll_fill_within(cx, LOOK_AHEAD_BYTES)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        state.poll_left_unread(cx)
    }

    /// Writes; ready when all is written. Interim answers go first.
    pub fn poll_write(&self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let State { wire, interim, .. } = &mut *state;
        if !interim.is_empty() {
            ready!(wire.poll_write(cx, interim))?;
        }
        wire.poll_write(cx, out)
    }

    /// Sends an interim answer (1xx) before the answer itself.
    pub fn send_interim(&self, head: Response<()>) {
        let (parts, ()) = head.into_parts();
        let mut state = self.lock();
        // What a client does not read is not piled up: an interim answer is a hint.
        if state.interim.encoded.len() < MAX_INTERIM_BYTES {
            encode_response(&parts, ResponseHop::default(), &mut state.interim.encoded);
        }
    }

    /// Says where only the close would not that this is the end.
    pub fn say_end(&self) {
        self.lock().wire.say_end();
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().wire.poll_shutdown(cx)
    }

    /// Reads and drops what is left of the body, up to a bound. Ready with whether the connection
    /// stands before a next head.
    pub fn poll_discard(&self, cx: &mut Context<'_>, discarded: &mut usize) -> Poll<bool> {
        let mut state = self.lock();
        let State { wire, decoder, owes_continue, .. } = &mut *state;
        loop {
            if decoder.is_done() {
                return Poll::Ready(true);
            }
            if *owes_continue || *discarded > DISCARD_BYTES {
                return Poll::Ready(false);
            }
            match decoder.decode(&mut wire.read) {
                Ok(Decoded::Data(data)) => *discarded += data.len(),
                Ok(Decoded::Trailers(_) | Decoded::Done) => {}
                Ok(Decoded::NeedMore) => match ready!(wire.poll_fill(cx)) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(false),
                },
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Reads and drops whatever comes, until the client ends or the bound is reached.
    pub fn poll_linger(&self, cx: &mut Context<'_>, discarded: &mut usize) -> Poll<()> {
        let mut state = self.lock();
        while *discarded <= DISCARD_BYTES {
            state.wire.read.clear();
            match ready!(state.wire.poll_fill(cx)) {
                Ok(count @ 1..) => *discarded += count,
                Ok(0) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    /// Whether another request can follow the one whose answer begins now: not where more is left of
    /// its body than is read and dropped, or where the client holds that back and will not send it.
    pub fn may_carry_another(&self) -> bool {
        let state = self.lock();
        let left = state.decoder.remaining().unwrap_or_default();
        !state.owes_continue && left <= DISCARD_BYTES as u64
    }

    /// Whether the connection's end is to look like what it is: a break, not an end of the body.
    pub fn reset_on_close(&self, resets: bool) {
        self.lock().wire.reset_on_close(resets);
    }

    /// Gives back the memory of a quiet connection.
    pub fn rest(&self) {
        self.lock().wire.rest();
    }

    /// The bare connection, if no body of it is left.
    pub fn into_wire(self) -> Option<Wire> {
        let state = Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(state.wire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // One task: only a panic in it could have poisoned the lock, and that ended the task.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Whether more may be read ahead.
    fn may_look_further(&mut self) -> bool {
        let Some(far) = self.wire.read.len().checked_sub(LOOK_AHEAD_BYTES) else { return true };
        self.body_rests && far < LOOK_FAR_BYTES && self.far.reach(far + LOOK_AHEAD_BYTES)
    }

    fn poll_left_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.leaving.is_none() {
            // If no file may be opened for it, it is seen when the body is read.
            self.leaving = self.wire.watch_leaving().ok().map(Box::new);
        }
        self.leaving.as_ref().map_or(Poll::Pending, |leaving| leaving.poll(cx))
    }

    /// The body's reader goes on.
    fn resume(&mut self) {
        self.body_waits = false;
        self.leaving = None;
        if !std::mem::take(&mut self.body_rests) {
            // What was held has gone out by now.
            self.give_back();
        }
    }

    /// Gives back what was taken to look far, and with it the space that it was read into: kept, that
    /// would be memory that nobody counts, and later bodies would be read into it at one go, which
    /// costs the system half as much again.
    fn give_back(&mut self) {
        if self.far.give_back() {
            self.wire.rest();
        }
    }
}

// === impl Http1Body ===

impl Http1Body {
    /// Nobody waits for the body's next part for now: the connection watches for leaving again.
    pub fn pause(&self) {
        let mut state = self.0.lock();
        state.body_waits = false;
        state.body_rests = true;
    }

    /// Whether the client holds the body back until it is asked for it by the first read.
    pub fn is_held_back(&self) -> bool {
        self.0.lock().owes_continue
    }
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let mut state = self.0.lock();
        state.resume();
        let State { wire, decoder, owes_continue, interim, body_waits, .. } = &mut *state;
        if std::mem::take(owes_continue) && wire.read.is_empty() {
            interim.encoded.extend_from_slice(CONTINUE);
        }
        if !interim.is_empty() && ready!(wire.poll_write(cx, interim)).is_err() {
            return Poll::Ready(Some(Err(IncomingError::Gone)));
        }
        loop {
            match decoder.decode(&mut wire.read) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(map)) => return Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Ok(Decoded::Done) => return Poll::Ready(None),
                Ok(Decoded::NeedMore) => match wire.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0) | Err(_)) => {
                        return Poll::Ready(Some(Err(IncomingError::Gone)));
                    }
                    Poll::Pending => {
                        *body_waits = true;
                        return Poll::Pending;
                    }
                },
                Err(_) => return Poll::Ready(Some(Err(IncomingError::Malformed))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().decoder.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().decoder.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.resume();
        state.give_back();
    }
}

#[cfg(test)]
mod tests;

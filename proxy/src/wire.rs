//! One connection with what has been read from it and not yet used.

use crate::leaving::Leaving;
use crate::socket::Socket;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// The first read takes this much: a head and a small body.
const READ_BYTES_MIN: usize = 4 << 10;
/// Reads that fill their space grow up to this: a large body in few system calls.
const READ_BYTES_MAX: usize = 64 << 10;

/// A body's part up to this size is copied behind its head, to be written from one place.
const COPIED_BYTES: usize = 1 << 10;

/// What ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A connection and its read buffer.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    /// Read and not yet used.
    pub read: BytesMut,
    read_bytes: usize,
    ended: bool,
    resets: bool,
}

/// Bytes on their way out, in order: what was encoded, a body's part as it came, its end.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Heads and chunk sizes.
    pub encoded: BytesMut,
    /// A body's part, never copied.
    pub data: Bytes,
    /// What ends the part.
    pub tail: &'static [u8],
}

// === impl Wire ===

impl Wire {
    /// A connection on which nothing was read.
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            read: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            ended: false,
            resets: false,
        }
    }

    /// Reads more into the buffer; 0 is the other side's end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_fill_within(cx, usize::MAX)
    }

    /// Reads so much more at the most.
    pub fn poll_fill_within(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        // Space is taken when there is something to read: a quiet connection holds none.
        if !self.read.try_reclaim(self.read_bytes) {
            ready!(self.socket.poll_read_ready(cx))?;
            self.read.reserve(self.read_bytes);
        }
        let room = (self.read.capacity() - self.read.len()).min(most);
        let mut space = (&mut self.read).limit(room);
        let count = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut space))?;
        self.ended = count == 0;
        if count == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(count))
    }

    /// Whether the other side has ended or sent what nobody asked for. Asks no system call unless
    /// something came.
    pub fn is_spent(&mut self) -> bool {
        if !self.read.is_empty() || self.ended {
            return true;
        }
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        self.socket.may_be_readable() && self.poll_fill(&mut nobody).is_ready()
    }

    /// Looks out for the other side's end while nothing is read.
    ///
    /// # Errors
    /// If no more files may be open.
    pub fn watch_leaving(&self) -> io::Result<Leaving> {
        Leaving::watch(self.socket.as_fd())
    }

    /// Gives back the memory of an empty buffer.
    pub fn rest(&mut self) {
        if self.read.is_empty() && self.read.capacity() > 0 {
            self.read = BytesMut::new();
            self.read_bytes = READ_BYTES_MIN;
        }
    }

    /// Writes as much as goes; ready when all is written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<io::Result<()>> {
        while !out.is_empty() {
            let socket = Pin::new(&mut self.socket);
            // The system does less for one part than for a list of one.
            let written = match out.only_part() {
                Some(part) => socket.poll_write(cx, part),
                None => socket.poll_write_vectored(cx, filled(&out.slices())),
            };
            let count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.advance(count);
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Whether all that was written is on its way. In TLS a part may wait, encrypted, for room.
    pub fn is_flushed(&self) -> bool {
        self.socket.is_flushed()
    }

    /// Says where only the close would not that this is the end.
    pub fn say_end(&mut self) {
        self.socket.say_end();
    }

    /// Says that nothing more will be sent.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Whether the connection is to end with a reset, which nobody takes for the end of a body, and
    /// which does not wait until what was sent before is read.
    pub fn reset_on_close(&mut self, resets: bool) {
        self.resets = resets;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Asked of the system only now: most connections that might have to end so never do.
        if self.resets {
            self.socket.reset_on_close();
        }
    }
}

/// First what was read and not yet used, then what comes.
impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            this.rest();
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        let count = this.read.len().min(buf.remaining());
        buf.put_slice(&this.read.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// From the first slice that has bytes: an empty first one makes some systems write nothing.
fn filled<'a, 'b>(slices: &'a [IoSlice<'b>; 3]) -> &'a [IoSlice<'b>] {
    let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
    slices.get(first..).unwrap_or_default()
}

// === impl Outgoing ===

impl Outgoing {
    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Takes a body's part with what ends it. Call only when the part before is written.
    pub fn push(&mut self, data: Bytes, tail: &'static [u8]) {
        if data.len() <= COPIED_BYTES && self.data.is_empty() && self.tail.is_empty() {
            self.encoded.extend_from_slice(&data);
            self.encoded.extend_from_slice(tail);
        } else {
            (self.data, self.tail) = (data, tail);
        }
    }

    /// Ends a body of chunks.
    pub fn end_chunks(&mut self) {
        match (self.data.is_empty(), self.tail.is_empty()) {
            (true, true) => self.encoded.extend_from_slice(LAST_CHUNK),
            (false, true) => self.tail = LAST_CHUNK,
            (_, false) => self.tail = b"\r\n0\r\n\r\n",
        }
    }

    /// What is to be written, if it is all in one place.
    fn only_part(&self) -> Option<&[u8]> {
        match (self.encoded.is_empty(), self.data.is_empty(), self.tail.is_empty()) {
            (false, true, true) => Some(&self.encoded),
            (true, false, true) => Some(&self.data),
            (true, true, false) => Some(self.tail),
            _ => None,
        }
    }

    fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(&self.encoded), IoSlice::new(&self.data), IoSlice::new(self.tail)]
    }

    fn advance(&mut self, count: usize) {
        let of_encoded = count.min(self.encoded.len());
        if of_encoded == self.encoded.len() {
            // Back to its beginning.
            self.encoded.clear();
        } else {
            self.encoded.advance(of_encoded);
        }
        let of_data = (count - of_encoded).min(self.data.len());
        if of_data == self.data.len() {
            // Whoever has read it can use its memory again.
            self.data = Bytes::new();
        } else {
            self.data.advance(of_data);
        }
        let of_tail = count - of_encoded - of_data;
        self.tail = self.tail.get(of_tail..).unwrap_or_default();
    }
}

//! A restart that loses nothing: a process that begins takes the listening sockets over from the
//! one before.
//!
//! Both meet at a Unix socket in the file system. The new process connects to it and is sent the
//! sockets themselves, so that who has connected and was not yet accepted stays in line. Once it
//! serves it says so; only then does the old one stop accepting, and drain. If the new one fails
//! before that, nothing has changed.
//!
//! On the wire, from old to new: [`HELLO`], then for each socket one byte, its [`Kind`], with the
//! socket; then [`END`]. From new to old: [`SERVES`].

use crate::drain::DrainWatch;
use crate::error::StartError;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::geteuid;
use std::fmt::Display;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};

/// How the old process begins: what it is, and which version of this conversation.
const HELLO: u8 = 0xa1;
/// No more sockets follow.
const END: u8 = b'.';
/// The new process serves.
const SERVES: u8 = b'!';
/// How long either waits for the other's next word. The new one starts up between two of them.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often, and for how long, a new process looks whether it could serve at once.
const READY_LOOK: Duration = Duration::from_millis(5);
const READY_PATIENCE: Duration = Duration::from_secs(2);
/// After a connection that could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests.
    Data,
    /// The admin port.
    Admin,
    /// Requests that are sent on to HTTPS.
    Redirect,
}

/// Sockets of the process before.
#[derive(Debug, Default)]
pub struct Taken {
    /// Those for requests.
    pub data: Vec<TcpListener>,
    /// The admin port's.
    pub admin: Vec<TcpListener>,
    /// That of requests which are sent on to HTTPS.
    pub redirect: Vec<TcpListener>,
}

/// The process before, which waits to hear that its sockets are served.
#[derive(Debug)]
pub struct Predecessor(blocking::UnixStream);

/// The offer to the process that comes next.
pub struct Handover {
    listener: blocking::UnixListener,
    sockets: Vec<(Kind, TcpListener)>,
    taken_over: oneshot::Sender<()>,
}

/// Takes the sockets of the process that listens at `path`, if there is one.
///
/// # Errors
/// If there is one and it doesn't answer, or not as expected.
pub fn take(path: &Path) -> Result<Option<(Taken, Predecessor)>, StartError> {
    let stream = match blocking::UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(path, error)),
    };
    let taken = receive_all(&stream).map_err(|error| failed(path, error))?;
    Ok(Some((taken, Predecessor(stream))))
}

fn failed(path: &Path, what: impl Display) -> StartError {
    StartError::Takeover { path: path.display().to_string(), what: what.to_string() }
}

fn receive_all(stream: &blocking::UnixStream) -> io::Result<Taken> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let unexpected = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if receive(stream)?.0 != HELLO {
        return unexpected("what listens there is no tidegate-proxy of this version");
    }
    let mut taken = Taken::default();
    loop {
        let (of_kind, socket) = match receive(stream)? {
            (END, _) => return Ok(taken),
            (kind, Some(socket)) => match Kind::from_byte(kind) {
                Some(Kind::Data) => (&mut taken.data, socket),
                Some(Kind::Admin) => (&mut taken.admin, socket),
                Some(Kind::Redirect) => (&mut taken.redirect, socket),
                None => return unexpected("it sent a socket of an unknown kind"),
            },
            (_, None) => return unexpected("it named a socket and did not send it"),
        };
        of_kind.push(TcpListener::from(socket));
    }
}

/// One byte, and the socket that came with it.
fn receive(stream: &blocking::UnixStream) -> io::Result<(u8, Option<OwnedFd>)> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [IoSliceMut::new(&mut byte)];
    let read = recvmsg(stream, parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if read.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            socket = sockets.last();
        }
    }
    Ok((byte[0], socket))
}

fn send(stream: impl AsFd, byte: u8, socket: Option<&TcpListener>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = socket.map(AsFd::as_fd);
    let sockets = sockets.as_slice();
    // There is space for one, and one is sent at the most.
    let fits = sockets.is_empty() || control.push(SendAncillaryMessage::ScmRights(sockets));
    debug_assert!(fits, "space for one socket");
    sendmsg(stream, &[IoSlice::new(&[byte])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

// === impl Kind ===

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Data => b'd',
            Self::Admin => b'a',
            Self::Redirect => b'r',
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::Admin, Self::Redirect].into_iter().find(|kind| kind.byte() == byte)
    }
}

// === impl Predecessor ===

impl Predecessor {
    /// Waits until this process could serve at once, for a bounded time, as an API may be at zero.
    /// Then opens the doors, and tells the process before that it may drain.
    pub async fn follow(self, is_ready: impl Fn() -> bool, doors: watch::Sender<bool>) {
        let ready = async {
            while !is_ready() {
                tokio::time::sleep(READY_LOOK).await;
            }
        };
        // The process before serves meanwhile.
        drop(tokio::time::timeout(READY_PATIENCE, ready).await);
        doors.send_replace(true);
        self.release();
    }

    /// Tells it that its sockets are served, and that it may drain.
    fn release(mut self) {
        match self.0.write_all(&[SERVES]) {
            Ok(()) => tracing::info!("took over from the process before, which drains now"),
            // It has ended meanwhile; what it listened on is served here.
            Err(error) => tracing::warn!(%error, "the process before is gone"),
        }
    }
}

// === impl Handover ===

impl Handover {
    /// Offers these sockets at `path`, in the place of who offered some there before. With the
    /// word that somebody has taken them.
    ///
    /// # Errors
    /// If there can be no socket at this path.
    pub fn bind<'a>(
        path: &Path,
        sockets: impl Iterator<Item = (Kind, &'a TcpListener)>,
    ) -> Result<(Self, oneshot::Receiver<()>), StartError> {
        let offer = || {
            let own = sockets.map(|(kind, socket)| Ok((kind, socket.try_clone()?)));
            let own = own.collect::<io::Result<_>>()?;
            let listener = bind_in_place(path)?;
            listener.set_nonblocking(true)?;
            Ok((listener, own))
        };
        let (listener, sockets) = offer().map_err(|error: io::Error| failed(path, error))?;
        let (taken_over, word) = oneshot::channel();
        Ok((Self { listener, sockets, taken_over }, word))
    }

    /// Waits for the next process until one has taken over, or this one is to end.
    pub async fn run(self, mut drain: DrainWatch) {
        tokio::select! {
            () = self.serve() => {}
            () = drain.announced() => {}
        }
    }

    async fn serve(self) {
        let listener = match UnixListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "can't watch the takeover socket"),
        };
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "can't accept at the takeover socket");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let handed = tokio::time::timeout(PATIENCE, hand_over(stream, &self.sockets)).await;
            match handed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(()) => {
                    // Nobody listens only if this process is ending anyhow.
                    self.taken_over.send(()).ok();
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "a new process did not take over; this one goes on");
                }
            }
        }
    }
}

/// Sends the sockets, and waits until they are served.
async fn hand_over(mut stream: UnixStream, sockets: &[(Kind, TcpListener)]) -> io::Result<()> {
    let own = geteuid().as_raw();
    let theirs = stream.peer_cred()?.uid();
    if theirs != own && theirs != 0 {
        let what = format!("user {theirs} may not: only {own}, whose process this is");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    let words = sockets.iter().map(|(kind, socket)| (kind.byte(), Some(socket)));
    for (byte, socket) in [(HELLO, None)].into_iter().chain(words).chain([(END, None)]) {
        stream.async_io(Interest::WRITABLE, || send(&stream, byte, socket)).await?;
    }
    match stream.read_u8().await? {
        SERVES => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A socket at this path, also if one of another process is there: whoever connects finds the one
/// or the other.
fn bind_in_place(path: &Path) -> io::Result<blocking::UnixListener> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let listener = blocking::UnixListener::bind(&beside)?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::{Drain, DrainSettings};
    use std::io::Read;
    use std::thread::JoinHandle;

    struct Offer {
        path: PathBuf,
        word: oneshot::Receiver<()>,
        drain: Drain,
        thread: JoinHandle<()>,
        _folder: tempfile::TempDir,
    }

    /// A process that offers two sockets for requests and one for the admin port.
    fn offer(sockets: &[(Kind, TcpListener)]) -> Offer {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("takeover.sock");
        let all = sockets.iter().map(|(kind, socket)| (*kind, socket));
        let (handover, word) = Handover::bind(&path, all).unwrap();
        let drain = Drain::new(DrainSettings::default());
        let watch = drain.watch();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(handover.run(watch));
        });
        Offer { path, word, drain, thread, _folder: folder }
    }

    fn sockets() -> [(Kind, TcpListener); 3] {
        [Kind::Data, Kind::Data, Kind::Admin]
            .map(|kind| (kind, TcpListener::bind("127.0.0.1:0").unwrap()))
    }

    #[test]
    fn all_sockets_are_taken_and_the_old_process_hears_of_it() {
        let sockets = sockets();
        let offer = offer(&sockets);
        let (taken, before) = take(&offer.path).unwrap().unwrap();
        let address = |socket: &TcpListener| socket.local_addr().unwrap();
        let data: Vec<_> = taken.data.iter().map(address).collect();
        assert_eq!(data, [address(&sockets[0].1), address(&sockets[1].1)]);
        assert_eq!(address(&taken.admin[0]), address(&sockets[2].1));
        before.release();
        offer.thread.join().unwrap();
        assert_eq!(offer.word.blocking_recv(), Ok(()));
    }

    #[test]
    fn who_fails_before_it_serves_has_changed_nothing() {
        let offer = offer(&sockets());
        drop(take(&offer.path).unwrap().unwrap());
        let (_, before) = take(&offer.path).unwrap().unwrap();
        before.release();
        offer.thread.join().unwrap();
        assert_eq!(offer.word.blocking_recv(), Ok(()));
    }

    #[test]
    fn a_process_that_ends_offers_nothing() {
        let offer = offer(&sockets());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(offer.drain.begin(false));
        offer.thread.join().unwrap();
        assert!(offer.word.blocking_recv().is_err());
        assert!(take(&offer.path).unwrap().is_none());
    }

    #[test]
    fn nobody_there_is_no_fault_and_somebody_else_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("takeover.sock");
        assert!(take(&path).unwrap().is_none());
        let stranger = blocking::UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = stranger.accept().unwrap();
            stream.write_all(b"hello").unwrap();
            // Until the other side has read enough of it.
            drop(stream.read(&mut [0]));
        });
        let error = take(&path).unwrap_err().to_string();
        assert!(error.contains("no tidegate-proxy of this version"), "{error}");
        thread.join().unwrap();
    }
}

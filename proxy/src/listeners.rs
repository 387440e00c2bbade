//! The listening sockets of a process: new ones, or those of the process that it takes over from.

use crate::error::StartError;
use crate::takeover::{self, Handover, Kind, Predecessor, Taken};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::path::PathBuf;
use tokio::sync::oneshot;

/// Connections the kernel may hold until they are accepted.
const BACKLOG: i32 = 1024;

/// The port of HTTPS, which need not be named.
pub const HTTPS_PORT: NonZeroU16 = NonZeroU16::new(443).unwrap();

/// Where a process listens.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where requests are taken.
    pub data: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// Where requests are sent on to HTTPS.
    pub redirect: Option<RedirectSettings>,
    /// Worker threads, each with a listener of its own.
    pub workers: usize,
    /// Where processes that follow each other meet.
    pub takeover: Option<PathBuf>,
}

/// Where requests are sent on to HTTPS.
#[derive(Debug, Clone, Copy)]
pub struct RedirectSettings {
    /// Where they come.
    pub listen: SocketAddr,
    /// The port they are sent to.
    pub port: NonZeroU16,
}

/// All that a process listens on.
pub struct Listeners {
    /// One for each worker.
    pub data: Vec<TcpListener>,
    /// The admin port's.
    pub admin: TcpListener,
    /// That of requests which are sent on to HTTPS, and the port they are sent to.
    pub redirect: Option<(TcpListener, NonZeroU16)>,
    /// What the next process takes over from, and the word that it did.
    pub handover: Option<(Handover, oneshot::Receiver<()>)>,
    /// The process before, which goes on until it is told.
    pub predecessor: Option<Predecessor>,
}

// === impl Listeners ===

impl Listeners {
    /// Takes over what the process before listens on, as far as the addresses are the same, and
    /// listens anew on the rest. Port 0 takes whatever was taken over, or a free port.
    ///
    /// # Errors
    /// If an address is taken or can't be listened on, or the process before does not answer.
    pub fn open(settings: &ListenSettings) -> Result<Self, StartError> {
        let before = match &settings.takeover {
            Some(path) => takeover::take(path)?,
            None => None,
        };
        let (taken, predecessor) =
            before.map_or((Taken::default(), None), |(taken, before)| (taken, Some(before)));
        let data = match inherited(taken.data, settings.data) {
            Some(taken) => spread(taken, settings.workers).map_err(|source| {
                StartError::Listen { flag: "--listen", address: settings.data, source }
            })?,
            None => bind(settings.data, settings.workers, "--listen")?,
        };
        let admin = one(taken.admin, settings.admin, "--admin")?;
        let redirect = match settings.redirect {
            Some(RedirectSettings { listen, port }) => {
                Some((one(taken.redirect, listen, "--redirect-listen")?, port))
            }
            None => None,
        };
        let handover = match &settings.takeover {
            Some(path) => {
                let all = data.iter().map(|listener| (Kind::Data, listener));
                let all = all.chain([(Kind::Admin, &admin)]);
                let all =
                    all.chain(redirect.iter().map(|(listener, _)| (Kind::Redirect, listener)));
                Some(Handover::bind(path, all)?)
            }
            None => None,
        };
        Ok(Self { data, admin, redirect, handover, predecessor })
    }

    /// How many workers there are to be.
    pub fn workers(&self) -> usize {
        self.data.len()
    }
}

/// The one that was taken over, or a new one.
fn one(
    taken: Vec<TcpListener>,
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Listen { flag, address, source };
    let one = inherited(taken, address).and_then(|mut taken| taken.pop());
    let one = match one {
        Some(taken) => taken,
        None => listener(address, false).map_err(failed)?,
    };
    one.set_nonblocking(true).map_err(failed)?;
    Ok(one)
}

/// What was taken over, if it listens where this process is to listen.
fn inherited(taken: Vec<TcpListener>, address: SocketAddr) -> Option<Vec<TcpListener>> {
    let before = taken.first()?.local_addr().ok()?;
    // All addresses are the same ones by either name.
    let all = before.ip().is_unspecified() && address.ip().is_unspecified();
    let same = address.port() == 0 || before == address || (all && before.port() == address.port());
    if !same {
        tracing::info!(%before, now = %address, "the process before listens elsewhere");
    }
    same.then_some(taken)
}

/// At least one for each worker: several may accept from one. A listener too many gets a worker
/// more, as who has connected to it would be lost with it.
fn spread(mut taken: Vec<TcpListener>, workers: usize) -> io::Result<Vec<TcpListener>> {
    if taken.len() > workers {
        let (before, wanted) = (taken.len(), workers);
        tracing::info!(before, wanted, "as many workers as the process before had");
    }
    let missing = workers.saturating_sub(taken.len());
    let more: Vec<_> = taken
        .iter()
        .cycle()
        .take(missing)
        .map(TcpListener::try_clone)
        .collect::<io::Result<_>>()?;
    taken.extend(more);
    for listener in &taken {
        listener.set_nonblocking(true)?;
    }
    Ok(taken)
}

/// Listens on `address`, once for each worker. Port 0 takes a free port, the same for all.
///
/// # Errors
/// If the address is taken or can't be listened on.
pub fn bind(
    address: SocketAddr,
    workers: usize,
    flag: &'static str,
) -> Result<Vec<TcpListener>, StartError> {
    let failed = |source| StartError::Listen { flag, address, source };
    let shared = workers > 1;
    if shared && address.port() != 0 {
        // With SO_REUSEPORT a second process on the same port would go unnoticed.
        drop(listener(address, false).map_err(failed)?);
    }
    let first = listener(address, shared).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(listener(address, true).map_err(failed)?);
    }
    Ok(listeners)
}

/// `[::]` is every address, of both families; where the machine has no IPv6, those of IPv4.
fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let opened = open(address, shared);
    match opened.as_ref().err().and_then(Errno::from_io_error) {
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if is_both(address) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), shared)
        }
        _ => opened,
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if is_both(address) {
        // Whatever the system's own default is.
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_both(address: SocketAddr) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn local() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn every_worker_has_a_listener_and_no_listener_is_left_out() {
        for (taken, workers, expected) in [(1, 1, 1), (1, 3, 3), (2, 3, 3), (4, 2, 4)] {
            let taken = bind(local(), taken, "--listen").unwrap();
            let address = taken[0].local_addr().unwrap();
            let spread = spread(taken, workers).unwrap();
            assert_eq!(spread.len(), expected);
            assert!(spread.iter().all(|listener| listener.local_addr().unwrap() == address));
        }
    }

    #[test]
    fn a_socket_is_taken_over_where_the_address_is_the_same() {
        let taken = || bind(local(), 1, "--listen").unwrap();
        assert!(inherited(taken(), local()).is_some());
        let same = taken();
        let address = same[0].local_addr().unwrap();
        assert!(inherited(same, address).is_some());
        assert!(inherited(taken(), "127.0.0.1:1".parse().unwrap()).is_none());
        assert!(inherited(Vec::new(), local()).is_none());
        let every = bind("0.0.0.0:0".parse().unwrap(), 1, "--listen").unwrap();
        let port = every[0].local_addr().unwrap().port();
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        assert!(inherited(every, address).is_some(), "another name for the same");
    }

    #[test]
    fn all_addresses_are_those_of_both_families() {
        let both = bind("[::]:0".parse().unwrap(), 2, "--listen").unwrap();
        let port = both[0].local_addr().unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            let address = SocketAddr::new(host.parse().unwrap(), port);
            assert!(TcpStream::connect(address).is_ok(), "{address}");
        }
    }

    #[test]
    fn who_waits_at_a_taken_socket_is_not_lost_when_the_first_owner_closes() {
        let first = bind(local(), 1, "--listen").unwrap();
        let second = spread(vec![first[0].try_clone().unwrap()], 1).unwrap();
        let _client = TcpStream::connect(first[0].local_addr().unwrap()).unwrap();
        drop(first);
        assert!(second[0].accept().is_ok());
    }
}

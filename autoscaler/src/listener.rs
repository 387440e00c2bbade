//! A listening socket; `[::]` is every address of both families, as far as the machine has them.

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpListener;

/// Connections the kernel may hold until they are accepted.
const BACKLOG: i32 = 1024;

/// Listens on this address. Where the machine has no IPv6, `[::]` is every address of IPv4.
///
/// # Errors
/// If it is taken or can't be listened on.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let opened = open(address);
    match opened.as_ref().err().and_then(Errno::from_io_error) {
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if is_both(address) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        _ => opened,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if is_both(address) {
        // Whatever the system's own default is.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_both(address: SocketAddr) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn all_addresses_are_those_of_both_families() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            let address = SocketAddr::new(host.parse().unwrap(), port);
            assert!(TcpStream::connect(address).is_ok(), "{address}");
        }
        assert!(listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err(), "it is taken");
    }
}

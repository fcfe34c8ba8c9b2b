//! The addresses of a transport.

use std::any::Any;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::ConnectionInfo;

/// The information of a transport: the addresses, if it is a TCP socket.
pub(crate) fn info_of(io: &dyn Any) -> ConnectionInfo {
    let tcp = io.downcast_ref::<TcpStream>();
    info_of_peer(io, tcp.and_then(|tcp| tcp.peer_addr().ok()))
}

/// As [`info_of`], for a transport whose peer's address is known, so that the system is not asked for it.
pub(crate) fn info_of_peer(io: &dyn Any, remote_addr: Option<SocketAddr>) -> ConnectionInfo {
    let tcp = io.downcast_ref::<TcpStream>();
    ConnectionInfo::default()
        .with_remote_addr(remote_addr)
        .with_local_addr(tcp.and_then(|tcp| tcp.local_addr().ok()))
}

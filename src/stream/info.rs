//! The addresses of a transport.

use std::any::Any;

use tokio::net::TcpStream;

use crate::ConnectionInfo;

/// The information of a transport: the addresses, if it is a TCP socket.
pub(crate) fn info_of(io: &dyn Any) -> ConnectionInfo {
    let tcp = io.downcast_ref::<TcpStream>();
    ConnectionInfo::default()
        .with_remote_addr(tcp.and_then(|tcp| tcp.peer_addr().ok()))
        .with_local_addr(tcp.and_then(|tcp| tcp.local_addr().ok()))
}

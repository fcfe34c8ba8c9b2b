//! The PROXY protocol, versions 1 and 2: the address of the client that a proxy forwards, in front of TLS.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>
//!
//! [`ListenerBuilder::proxy_protocol`](crate::ListenerBuilder::proxy_protocol) reads the header of each
//! connection. [`Header::parse`] is the parser alone, for a transport that the application accepts itself:
//! give the address to `Acceptor::accept_from`.
//!
//! The parser is strict. A header that two readers could read in two ways is an error, and so is one
//! that the specification does not define.

mod error;
mod header;
mod trusted;
mod v1;
mod v2;

pub use error::HeaderError;
pub use header::{Header, Parsed};
pub use trusted::{NetError, Trusted};

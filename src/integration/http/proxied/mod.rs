//! The identity of a client behind a proxy, from the headers that the proxy sets.
//!
//! A proxy that terminates TLS is the one to which the client proves its key. Here the proxy proves its own
//! key, and a policy of the application names it as a proxy. Only then is the client's chain read from the
//! header that this proxy sets. The chain goes through the gate like any other; what differs is the proof of
//! possession, which is the proxy's word. So the result is a [`Vouched`](crate::gate::Vouched), and not an
//! `Admission`.
//!
//! The readers accept what the proxies write, and nothing else: each header once, one format, canonical
//! encodings. Everything that a client could have added, and that the proxy has passed on, is an error.

mod ders;
mod error;
mod header;
mod identity;
mod pem;
mod xfcc;

pub use error::ProxiedIdentityError;
pub use header::IdentityHeader;
pub use identity::ProxiedIdentity;

//! Connections that are open, and what ends them.
//!
//! A connection is entered here before the gate decides about it. A change of the rules that comes
//! while it decides then finds the connection waiting, and has it judged again; one that comes
//! later judges it where it is. So none slips through between.

mod ended;
mod lease;
mod limits;
mod listed;
mod registry;

pub use ended::Ended;
pub(crate) use lease::{Half, Lease};
pub(crate) use limits::{ByIdentity, ConnectionLimits, Place, Places};
pub use listed::OpenConnection;
pub(crate) use registry::{Changed, Connection, Entered, Registry};

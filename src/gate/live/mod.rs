//! Connections that are open, and what ends them.
//!
//! A connection is entered here before the gate decides about it, and opened under the lock of the
//! rules' [epoch](super::epoch). A change of the rules that comes before has it decided again; one
//! that comes later finds it open, and judges it where it is. So none slips through between.

mod ended;
mod last_time;
mod lease;
mod limits;
mod listed;
mod registry;

pub use ended::CloseReason;
pub(crate) use lease::{Half, Lease};
pub(crate) use limits::{ByIdentity, ConnectionLimits, Place, Places};
pub use listed::OpenConnection;
pub(crate) use registry::{Connection, Entered, Registry};

//! Options that several commands have.

mod allow;
mod identity;
mod key;
mod proxies;
mod stop;
mod tls;
mod trust;

pub use allow::AllowList;
pub use identity::{Identity, IdentityKind};
pub use key::{KeyOption, KeyOptionError};
pub use proxies::{IdentityProxies, ProxyOptions};
pub use stop::stop_signal;
pub use tls::{Sources, TlsOptions, workload};
pub use trust::{TrustOptions, TrustOptionsError, TrustSettings};

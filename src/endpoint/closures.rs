//! Builder steps for closures, whose arguments need no types.
//!
//! A closure is an extractor or a policy by a blanket implementation, and for those rustc does not infer
//! the argument of a closure. It does where a method asks for `Fn` directly.

#[cfg(feature = "tokio")]
use std::future::Future;
#[cfg(feature = "tokio")]
use std::time::Duration;

use super::builder::{Builder, NeedsIdentity, NeedsPolicy, Role};
use crate::identity::IdentityError;
use crate::pki::Certificate;
use crate::{Decision, Peer};

impl<S> NeedsIdentity<S> {
    /// As [`identify`](Self::identify), for a closure.
    ///
    /// ```
    /// use countersign::identity::{IdentityError, IdentityErrorKind};
    /// use countersign::{Acceptor, Decision, testing::TestCa};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ca = TestCa::new("Root");
    /// let acceptor = Acceptor::builder()
    ///     .credentials(ca.leaf().dns("server.example").issue().credentials())
    ///     .trust(ca.trust())
    ///     .identify_fn(|certificate| match certificate.serial().as_bytes() {
    ///         [] => Err(IdentityError::new(IdentityErrorKind::Missing, "no serial number")),
    ///         serial => Ok(serial.len()),
    ///     })
    ///     .authorize_fn(|peer| match peer.identity() {
    ///         0..=20 => Decision::allow("conforming"),
    ///         _ => Decision::deny("the serial number is too long"),
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn identify_fn<I: 'static>(
        self,
        extract: impl Fn(&Certificate) -> Result<I, IdentityError> + Send + Sync + 'static,
    ) -> NeedsPolicy<S, I> {
        self.identify(extract)
    }
}

impl<S: Role, I> NeedsPolicy<S, I> {
    /// As [`authorize`](Self::authorize), for a closure; see
    /// [`identify_fn`](NeedsIdentity::identify_fn).
    pub fn authorize_fn(
        self,
        decide: impl Fn(&Peer<I>) -> Decision + Send + Sync + 'static,
    ) -> Builder<S, I> {
        self.authorize(decide)
    }

    /// As [`authorize_async`](Self::authorize_async), for a closure.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use countersign::identity::DnsName;
    /// use countersign::{Acceptor, Decision, testing::TestCa};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ca = TestCa::new("Root");
    /// let acceptor = Acceptor::builder()
    ///     .credentials(ca.leaf().dns("server.example").issue().credentials())
    ///     .trust(ca.trust())
    ///     .identify(DnsName::extractor())
    ///     .authorize_async_fn(
    ///         async |peer| match peer.identity().as_str() {
    ///             "alice.example" => Decision::allow("directory"),
    ///             _ => Decision::deny("not in the directory"),
    ///         },
    ///         Duration::from_secs(2),
    ///     )
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    pub fn authorize_async_fn<R>(
        self,
        ask: impl Fn(Peer<I>) -> R + Send + Sync + 'static,
        timeout: Duration,
    ) -> Builder<S, I>
    where
        R: Future<Output = Decision> + Send,
        I: Send + Sync,
    {
        self.authorize_async(ask, timeout)
    }
}

//! Why a command failed, as `clap` and `rustc` report errors.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::iter::successors;

use countersign::integration::http::ForwardError;
use countersign::integration::hyper::HttpsError;
use countersign::integration::spiffe::WorkloadError;
use countersign::integration::tower::RuleError;
use countersign::pki::pkcs11::Pkcs11Error;
use countersign::pki::{CredentialsError, CrlFormatError, PemError};
use countersign::reload::ReloadError;
use countersign::trust::{BundleError, ChainError, CrlError, TrustError};
use countersign::{AcceptError, BuildError, ConnectError, Diagnostic, HandshakeError};

use super::{BAD, HINT};
use crate::options::{KeyOptionError, TrustOptionsError};

/// Why a command failed.
///
/// An error of countersign has a stable code and a remedy; any other error has its message only.
#[derive(Debug)]
pub struct Failure {
    reason: Option<&'static str>,
    cause: String,
    remedy: Option<String>,
}

impl Failure {
    pub fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason: None,
            cause: cause.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// The first error of countersign among the causes, or the error itself.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        causes(error)
            .into_iter()
            .find_map(diagnosed)
            .unwrap_or_else(|| Self {
                reason: None,
                cause: error.to_string(),
                remedy: None,
            })
    }

    /// The first error of countersign among the causes, or the last cause: hyper wraps the errors of the
    /// layers below it.
    pub fn innermost(error: &(dyn Error + 'static)) -> Self {
        let causes = successors(Some(error), |&error| error.source());
        Self::of(
            causes
                .last()
                .filter(|_| !is_diagnosed(error))
                .unwrap_or(error),
        )
    }

    /// Adds the place to the cause, such as a key of the configuration.
    #[must_use]
    pub fn at(mut self, place: impl Display) -> Self {
        self.cause = format!("{place}: {}", self.cause);
        self
    }

    /// Writes `error[reason]: cause` and `help: remedy` to standard error.
    pub fn print(&self) {
        let mut stderr = anstream::stderr().lock();
        let reason = match self.reason {
            Some(reason) => format!("[{reason}]"),
            None => String::new(),
        };
        // There is no other place to report that standard error is closed.
        let _ = writeln!(stderr, "{BAD}error{reason}:{BAD:#} {}", self.cause);
        if let Some(remedy) = &self.remedy {
            let _ = writeln!(stderr, "{HINT}help:{HINT:#} {remedy}");
        }
    }
}

impl Display for Failure {
    /// One line, for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{}; {remedy}", self.cause),
            None => f.write_str(&self.cause),
        }
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&*error.into())
    }
}

/// One line, where a command reports no failure itself.
impl From<Failure> for Box<dyn Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        failure.to_string().into()
    }
}

/// The error and its sources, with the errors inside of each `io::Error`.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut all = Vec::new();
    for cause in successors(Some(error), |&error| error.source()) {
        all.push(cause);
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(inner) = inner {
            all.extend(causes(inner));
        }
    }
    all
}

fn is_diagnosed(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .into_iter()
        .any(|cause| diagnosed(cause).is_some())
}

/// Downcasts to the first type that fits.
macro_rules! first_of {
    ($error:expr, $($type:ty),+ $(,)?) => {
        None$(.or_else(|| {
            let error = $error.downcast_ref::<$type>()?;
            Some(failure(error))
        }))+
    };
}

/// `None` for an error of another crate.
fn diagnosed(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<TrustOptionsError>() {
        return match error {
            TrustOptionsError::Trust(error) => diagnosed(error),
            TrustOptionsError::Bundle(error) => diagnosed(error),
            TrustOptionsError::Crl(error) => diagnosed(error),
            TrustOptionsError::Issuer { .. } => Some(Failure {
                reason: Some(error.reason()),
                cause: error.to_string(),
                remedy: None,
            }),
        };
    }
    if let Some(error) = error.downcast_ref::<KeyOptionError>() {
        return Some(failure(error.diagnostic()));
    }
    first_of!(
        error,
        AcceptError,
        ConnectError,
        HandshakeError,
        ChainError,
        BuildError,
        CredentialsError,
        Pkcs11Error,
        TrustError,
        BundleError,
        CrlError,
        CrlFormatError,
        PemError,
        ReloadError,
        ForwardError,
        HttpsError,
        RuleError,
        WorkloadError,
    )
}

fn failure(error: &(impl Diagnostic + ?Sized)) -> Failure {
    Failure {
        reason: Some(error.reason()),
        cause: error.cause().into_owned(),
        remedy: Some(error.remedy().into_owned()),
    }
}

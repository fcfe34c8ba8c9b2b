//! Why the agent gives no identity.

use std::borrow::Cow;
use std::error::Error as StdError;

use tonic::{Code, Status};

use super::address::VARIABLE;
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::identity::TrustDomain;
use crate::pki::text::Escaped;
use crate::reload::{Diagnosed, ReloadError};

/// Why the Workload API gives no identity, or one that cannot be used.
///
/// ```
/// use countersign::integration::spiffe::{Workload, WorkloadError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = Workload::at("localhost:8000").connect().await.unwrap_err();
/// assert!(matches!(error, WorkloadError::BadAddress { .. }));
/// assert_eq!(error.reason(), "bad_workload_address");
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// The environment has no address of an agent.
    NoAddress,
    /// The address of the agent is not one of the Workload API.
    BadAddress {
        /// The address.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The agent cannot be reached.
    Unreachable {
        /// The error of the connection.
        problem: String,
    },
    /// The agent has no identity for this process, or withdrew it.
    PermissionDenied {
        /// The agent's message.
        message: String,
    },
    /// The agent answered with another error.
    Refused {
        /// gRPC's name of the error.
        code: &'static str,
        /// The agent's message.
        message: String,
    },
    /// None of the identities that the agent gives has this hint or SPIFFE ID.
    NotGiven {
        /// The hint or the ID.
        wanted: String,
    },
    /// An SVID, a bundle or a CRL of the agent cannot be used.
    Malformed {
        /// What it is.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Our SVID has expired, and the agent gave no other.
    Expired {
        /// Its SPIFFE ID.
        id: String,
    },
    /// A bundle endpoint gave an older bundle than before.
    BundleRolledBack {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// The number of the bundle.
        sequence: u64,
        /// That of the bundle in force.
        in_force: u64,
    },
    /// A bundle endpoint could not be read.
    NotFetched {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// The error of the application's client, or of the bundle.
        problem: String,
    },
    /// The agent gave no identity in time, or one that could not be applied.
    NotStarted {
        /// Why.
        error: ReloadError,
    },
}

impl WorkloadError {
    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress => "no_workload_address",
            Self::BadAddress { .. } => "bad_workload_address",
            Self::Unreachable { .. } => "agent_unreachable",
            Self::PermissionDenied { .. } => "no_identity_issued",
            Self::Refused { .. } => "agent_refused",
            Self::NotGiven { .. } => "identity_not_given",
            Self::Malformed { .. } => "malformed_svid",
            Self::Expired { .. } => "svid_expired",
            Self::BundleRolledBack { .. } => "bundle_rolled_back",
            Self::NotFetched { .. } => "bundle_not_fetched",
            Self::NotStarted { error } => error.reason(),
        }
    }

    pub(super) fn unreachable(error: &tonic::transport::Error) -> Self {
        Self::Unreachable {
            problem: innermost(error),
        }
    }

    pub(super) fn malformed(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Malformed {
            what: what.into(),
            problem: problem.to_string(),
        }
    }

    /// Whether it takes our identity away, so that what the agent gave before must not be used any longer.
    const fn withdraws(&self) -> bool {
        matches!(
            self,
            Self::PermissionDenied { .. } | Self::NotGiven { .. } | Self::Expired { .. }
        )
    }

    /// As the error of a source.
    pub(super) fn of_source(self) -> Diagnosed {
        Diagnosed {
            withdraws: self.withdraws(),
            error: Box::new(self),
        }
    }
}

impl From<Status> for WorkloadError {
    fn from(status: Status) -> Self {
        let message = Escaped(status.message()).to_string();
        match status.code() {
            Code::PermissionDenied => Self::PermissionDenied { message },
            // An error of the transport is the source of a status that this side has made.
            Code::Unavailable | Code::Unknown if StdError::source(&status).is_some() => {
                let problem = StdError::source(&status).map_or(message, innermost);
                Self::Unreachable { problem }
            }
            Code::Unavailable => Self::Unreachable { problem: message },
            code => Self::Refused {
                code: code.description(),
                message,
            },
        }
    }
}

/// The text of the cause: those around it say only that a transport failed.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    Escaped(&error.to_string()).to_string()
}

impl Diagnostic for WorkloadError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NoAddress => format!("{VARIABLE} is not set, so no agent is known"),
            Self::BadAddress { address, problem } => format!(
                "\"{}\" is not the address of a Workload API: {problem}",
                Escaped(address)
            ),
            Self::Unreachable { problem } => format!("the agent cannot be reached: {problem}"),
            Self::PermissionDenied { message } => {
                format!("the agent has no identity for this process: {message}")
            }
            Self::Refused { code, message } => {
                format!("the agent refused the call: {code}: {message}")
            }
            Self::NotGiven { wanted } => {
                format!("the agent gives no identity {}", Escaped(wanted))
            }
            Self::Malformed { what, problem } => {
                format!(
                    "the agent gave {} that cannot be used: {problem}",
                    Escaped(what)
                )
            }
            Self::Expired { id } => {
                format!("our X.509-SVID {id} has expired, and the agent gave no other")
            }
            Self::BundleRolledBack {
                trust_domain,
                sequence,
                in_force,
            } => format!(
                "the bundle endpoint of {trust_domain} gave the bundle {sequence}, and {in_force} is in force"
            ),
            Self::NotFetched {
                trust_domain,
                problem,
            } => format!("the bundle of {trust_domain} was not fetched: {}", Escaped(problem)),
            Self::NotStarted { error } => return Diagnostic::cause(error),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NoAddress => "set it to the agent's socket, as in unix:/run/agent.sock",
            Self::BadAddress { .. } => "give it as unix:/run/agent.sock or tcp://127.0.0.1:8000",
            Self::Unreachable { .. } => "start the agent, and check the path and its permissions",
            Self::PermissionDenied { .. } => {
                "create a registration entry whose selectors match this process"
            }
            Self::Refused { .. } => "see the agent's log",
            Self::NotGiven { .. } => "create a registration entry for it, or choose another one",
            Self::Malformed { .. } => "see the agent's log, and report it to its authors",
            Self::Expired { .. } => "start the agent, and see its log",
            Self::BundleRolledBack { .. } => "ask the operator of that trust domain",
            Self::NotFetched { .. } => "check the address of the endpoint, and its log",
            Self::NotStarted { error } => return Diagnostic::remedy(error),
        }
        .into()
    }
}

display_diagnostic!(WorkloadError);

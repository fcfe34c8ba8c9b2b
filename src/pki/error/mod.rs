//! Why files, credentials and CRLs cannot be used.

mod credentials;
mod crl;
mod own;
mod pem;
mod warning;

pub use credentials::CredentialsError;
pub use crl::CrlFormatError;
pub use own::OwnCertificateProblem;
pub use pem::PemError;
pub use warning::LoadWarning;

//! Why files, credentials and CRLs cannot be used.

mod credentials;
mod crl;
mod pem;

pub use credentials::CredentialsError;
pub use crl::CrlFormatError;
pub use pem::PemError;

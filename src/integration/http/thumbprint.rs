//! Thumbprints of certificates for certificate-bound tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Certificate;

impl Certificate {
    /// The thumbprint `x5t#S256` (RFC 8705 section 3.1): the SHA-256 of the DER in base64url without
    /// padding, 43 characters.
    ///
    /// An access token that is bound to a certificate has it in `cnf`. The resource server compares it with
    /// the thumbprint of the peer's certificate:
    ///
    /// ```
    /// # fn is_bound_to(peer: &countersign::Peer<()>, cnf_x5t_s256: &str) -> bool {
    /// peer.certificate().x5t_s256() == cnf_x5t_s256
    /// # }
    /// ```
    #[doc(alias = "x5t#S256")]
    #[doc(alias = "thumbprint")]
    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sha256().as_bytes())
    }
}

//! Why a key in a token cannot be used.

use std::borrow::Cow;
use std::error::Error;
use std::path::PathBuf;

use cryptoki::error::Error as CallError;

use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::pki::CredentialsError;
use crate::pki::text::Brief;

/// Why a key in a PKCS#11 token cannot be used. No variant contains a PIN.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::pki::pkcs11::Pkcs11Key;
///
/// let error = Pkcs11Key::from_uri("pkcs11:token=a;token=b").unwrap_err();
/// assert_eq!(error.reason(), "pkcs11_uri");
/// assert_eq!(error.cause(), "the PKCS#11 URI is invalid: the attribute `token` occurs twice");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The URI does not follow RFC 7512, or has an attribute that is not supported.
    Uri {
        /// What is wrong, without any value of the URI.
        problem: String,
    },
    /// Neither the URI nor the application names a module.
    NoModule,
    /// The module cannot be loaded or initialized.
    Module {
        /// The module.
        path: PathBuf,
        /// The answer of the system or of the module.
        problem: String,
    },
    /// The module has no such token.
    NoToken {
        /// The attributes of the URI.
        wanted: String,
        /// The labels of the tokens that are there.
        present: Vec<String>,
    },
    /// More than one token has these attributes.
    SeveralTokens {
        /// The attributes of the URI.
        wanted: String,
        /// The labels and serial numbers of the tokens.
        found: Vec<String>,
    },
    /// The token asks for a PIN, and none was given.
    NoPin {
        /// The label of the token.
        token: String,
    },
    /// The PIN could not be read: the file, or the application's function, failed.
    PinSource {
        /// The error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The token rejected the PIN.
    WrongPin {
        /// The label of the token.
        token: String,
        /// It was rejected before, and was not given to the token again.
        is_known: bool,
    },
    /// The PIN is locked, after too many wrong ones.
    PinLocked {
        /// The label of the token.
        token: String,
    },
    /// One more wrong PIN would lock the token, and the last attempt is not used.
    PinFinalTry {
        /// The label of the token.
        token: String,
    },
    /// The token has no such private key.
    NoKey {
        /// The label of the token.
        token: String,
        /// The attributes of the URI.
        wanted: String,
        /// The labels of the private keys that are there, at most 16.
        present: Vec<String>,
    },
    /// More than one private key has these attributes.
    SeveralKeys {
        /// The label of the token.
        token: String,
        /// The attributes of the URI.
        wanted: String,
        /// How many.
        count: usize,
    },
    /// The key is not of a kind that TLS has.
    UnsupportedKey {
        /// The label of the token.
        token: String,
        /// The kind of the key.
        key: String,
    },
    /// The key cannot make any signature of TLS.
    CannotSign {
        /// The label of the token.
        token: String,
        /// Why.
        problem: String,
    },
    /// The token has no certificate for the key.
    NoCertificate {
        /// The label of the token.
        token: String,
    },
    /// The token has more than one certificate for the key, or for one of its issuers.
    SeveralCertificates {
        /// The label of the token.
        token: String,
    },
    /// The token is gone: it was removed, or its device failed.
    TokenRemoved {
        /// The label of the token.
        token: String,
        /// What the module returned.
        problem: String,
    },
    /// The key that is there now does not sign for the certificate: it was replaced, or the token is defective.
    WrongSignature {
        /// The label of the token.
        token: String,
    },
    /// A call of the module failed.
    Call {
        /// The label of the token, or the module.
        place: String,
        /// The function and its return value: `C_SignInit: CKR_MECHANISM_INVALID`.
        problem: String,
    },
    /// The chain cannot be used, or the key is not the certificate's.
    Credentials(#[from] CredentialsError),
}

impl Pkcs11Error {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Uri { .. } => "pkcs11_uri",
            Self::NoModule => "pkcs11_no_module",
            Self::Module { .. } => "pkcs11_module",
            Self::NoToken { .. } => "pkcs11_no_token",
            Self::SeveralTokens { .. } => "pkcs11_several_tokens",
            Self::NoPin { .. } => "pkcs11_no_pin",
            Self::PinSource { .. } => "pkcs11_pin_source",
            Self::WrongPin { .. } => "pkcs11_wrong_pin",
            Self::PinLocked { .. } => "pkcs11_pin_locked",
            Self::PinFinalTry { .. } => "pkcs11_pin_final_try",
            Self::NoKey { .. } => "pkcs11_no_key",
            Self::SeveralKeys { .. } => "pkcs11_several_keys",
            Self::UnsupportedKey { .. } => "pkcs11_unsupported_key",
            Self::CannotSign { .. } => "pkcs11_cannot_sign",
            Self::NoCertificate { .. } => "pkcs11_no_certificate",
            Self::SeveralCertificates { .. } => "pkcs11_several_certificates",
            Self::TokenRemoved { .. } => "pkcs11_token_removed",
            Self::WrongSignature { .. } => "pkcs11_wrong_signature",
            Self::Call { .. } => "pkcs11_call",
            Self::Credentials(error) => error.reason(),
        }
    }

    pub(super) fn call(place: &str, error: &CallError) -> Self {
        Self::Call {
            place: place.into(),
            problem: described(error),
        }
    }
}

impl Diagnostic for Pkcs11Error {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Uri { problem } => format!("the PKCS#11 URI is invalid: {problem}"),
            Self::NoModule => return "no PKCS#11 module is named".into(),
            Self::Module { path, problem } => format!(
                "the PKCS#11 module {} cannot be used: {}",
                Brief(path.display()),
                Brief(problem)
            ),
            Self::NoToken { wanted, present } => format!(
                "no token matches {}; {}",
                Brief(wanted),
                listed("there are", present)
            ),
            Self::SeveralTokens { wanted, found } => {
                format!("{} match {}", listed("the tokens", found), Brief(wanted))
            }
            Self::NoPin { token } => format!("the token {} asks for a PIN", Brief(token)),
            Self::PinSource { source } => {
                format!("the PIN of the token cannot be read: {}", Brief(source))
            }
            Self::WrongPin {
                token,
                is_known: false,
            } => format!("the token {} rejects the PIN", Brief(token)),
            Self::WrongPin { token, .. } => format!(
                "the token {} has rejected this PIN before, so that it was not tried again",
                Brief(token)
            ),
            Self::PinLocked { token } => format!("the PIN of the token {} is locked", Brief(token)),
            Self::PinFinalTry { token } => format!(
                "one more wrong PIN locks the token {}, so that none was tried",
                Brief(token)
            ),
            Self::NoKey {
                token,
                wanted,
                present,
            } => format!(
                "the token {} has no private key that matches {}; {}",
                Brief(token),
                Brief(wanted),
                listed("there are", present)
            ),
            Self::SeveralKeys {
                token,
                wanted,
                count,
            } => format!(
                "{count} private keys in the token {} match {}",
                Brief(token),
                Brief(wanted)
            ),
            Self::UnsupportedKey { token, key } => format!(
                "the key in the token {} is not of a kind for TLS: {}",
                Brief(token),
                Brief(key)
            ),
            Self::CannotSign { token, problem } => format!(
                "the key in the token {} cannot sign: {}",
                Brief(token),
                Brief(problem)
            ),
            Self::NoCertificate { token } => {
                format!("the token {} has no certificate for the key", Brief(token))
            }
            Self::SeveralCertificates { token } => format!(
                "the token {} has more than one certificate for the key or for an issuer",
                Brief(token)
            ),
            Self::TokenRemoved { token, problem } => {
                format!("the token {} is gone: {}", Brief(token), Brief(problem))
            }
            Self::WrongSignature { token } => format!(
                "the key in the token {} did not sign for our certificate",
                Brief(token)
            ),
            Self::Call { place, problem } => {
                format!("{}: {}", Brief(place), Brief(problem))
            }
            Self::Credentials(error) => return Diagnostic::cause(error),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Uri { .. } => {
                "write it as `pkcs11:token=LABEL;object=KEY?module-path=/PATH/MODULE.so&pin-source=/PATH/PIN`"
            }
            Self::NoModule => "add `?module-path=/PATH/MODULE.so` to the URI",
            Self::Module { .. } => {
                "check the path: it must be a PKCS#11 module for this kind of machine, such as `libsofthsm2.so`"
            }
            Self::NoToken { .. } => {
                "correct `token=` in the URI: `pkcs11-tool --module MODULE.so --list-token-slots` lists them"
            }
            Self::SeveralTokens { .. } => "add `serial=` to the URI",
            Self::NoPin { .. } => "add `pin-source=/PATH/PIN` to the URI",
            Self::PinSource { .. } => "correct where the PIN is read from",
            Self::WrongPin { .. } => {
                "give the user PIN, and start the program again if the token's PIN was changed to this one"
            }
            Self::PinLocked { .. } => {
                "unlock it with the security officer's PIN: `pkcs11-tool --module MODULE.so --login --login-type so --init-pin`"
            }
            Self::PinFinalTry { .. } => {
                "log in once with the right PIN, which resets the count: `pkcs11-tool --module MODULE.so --login --list-objects`"
            }
            Self::NoKey { .. } => {
                "correct `object=` or `id=` in the URI: `pkcs11-tool --module MODULE.so --login --list-objects --type privkey` lists them"
            }
            Self::SeveralKeys { .. } => "add `id=` to the URI, or delete the keys that are not used",
            Self::UnsupportedKey { .. } => {
                "make one for ECDSA P-256 or P-384, Ed25519, or RSA with 2,048 bits or more"
            }
            Self::CannotSign { .. } => {
                "make a key with CKA_SIGN in a token with CKM_ECDSA, CKM_RSA_PKCS_PSS or CKM_EDDSA"
            }
            Self::NoCertificate { .. } => {
                "give the chain in a file, or write it into the token with the identifier of the key: `pkcs11-tool --module MODULE.so --login --write-object CERT.der --type cert --id ID`"
            }
            Self::SeveralCertificates { .. } => "give the chain in a file, or delete those that are not used",
            Self::TokenRemoved { .. } => "connect it again: the next handshake finds it and logs in",
            Self::WrongSignature { .. } => {
                "load the certificate of the key that is in the token now, or put the right key back"
            }
            Self::Call { .. } => "see the log of the module or of its device",
            Self::Credentials(error) => return error.remedy(),
        }
        .into()
    }
}

display_diagnostic!(Pkcs11Error);

fn listed(words: &str, names: &[String]) -> String {
    if names.is_empty() {
        return "there is none".into();
    }
    let names: Vec<_> = names.iter().map(|name| Brief(name).to_string()).collect();
    format!("{words} {}", names.join(", "))
}

/// The function and the return value, by their names in the standard.
pub(super) fn described(error: &CallError) -> String {
    match error {
        CallError::Pkcs11(code, function) => {
            format!("C_{function:?}: CKR_{}", upper_snake(&format!("{code:?}")))
        }
        other => other.to_string(),
    }
}

fn upper_snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_uppercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;
    use cryptoki::error::RvError;

    use super::*;

    #[test]
    fn return_values_have_their_names_of_the_standard() {
        let error = CallError::Pkcs11(RvError::DeviceRemoved, Function::SignInit);
        assert_eq!(described(&error), "C_SignInit: CKR_DEVICE_REMOVED");
        let error = CallError::Pkcs11(RvError::SlotIdInvalid, Function::GetSlotInfo);
        assert_eq!(described(&error), "C_GetSlotInfo: CKR_SLOT_ID_INVALID");
    }
}

//! Logging in, without ever locking a token.
//!
//! Tokens count wrong PINs and lock. A program with a wrong PIN asks again and again: a reload at each interval,
//! a handshake at each connection. So a PIN that a token has rejected is remembered by the process, and not
//! given to that token again; and logins come one after the other, so that several threads do not use up the
//! attempts at the same moment.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::error::{Error as CallError, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::types::RawAuthPin;

use super::error::Pkcs11Error;
use super::key::Pkcs11Key;
use super::module::Token;
use super::pin::Pin;

/// A PIN that a token has rejected.
#[derive(PartialEq, Eq)]
struct Rejected {
    module: PathBuf,
    serial: String,
    label: String,
    pin: Pin,
}

static REJECTED: Mutex<Vec<Rejected>> = Mutex::new(Vec::new());

/// Logs in, if the token asks for it and this process is not logged in.
pub(super) fn log_in(
    session: &Session,
    module: &Path,
    token: &Token,
    key: &Pkcs11Key,
) -> Result<(), Pkcs11Error> {
    let info = &token.info;
    let label = || info.label().to_owned();
    if !info.login_required() {
        return Ok(());
    }
    let mut rejected = REJECTED.lock().unwrap_or_else(PoisonError::into_inner);
    let state = session.get_session_info();
    let state = state.map_err(|error| Pkcs11Error::call(info.label(), &error))?;
    if matches!(
        state.session_state(),
        SessionState::RoUser | SessionState::RwUser
    ) {
        return Ok(()); // all sessions of a process are
    }
    if info.user_pin_locked() {
        return Err(Pkcs11Error::PinLocked { token: label() });
    }
    let Some(pin) = key.pin()? else {
        if !info.protected_authentication_path() {
            return Err(Pkcs11Error::NoPin { token: label() });
        }
        let login = session.login(UserType::User, None); // at the device's own keypad
        return outcome(login, label).map(|_| ());
    };
    let attempt = Rejected {
        module: module.to_path_buf(),
        serial: info.serial_number().to_owned(),
        label: label(),
        pin,
    };
    if rejected.contains(&attempt) {
        return Err(Pkcs11Error::WrongPin {
            token: label(),
            is_known: true,
        });
    }
    if info.user_pin_final_try() {
        return Err(Pkcs11Error::PinFinalTry { token: label() });
    }
    let raw = RawAuthPin::new(Box::new(attempt.pin.bytes().to_vec()));
    let result = outcome(session.login_with_raw(UserType::User, &raw), label);
    if matches!(result, Err(Pkcs11Error::WrongPin { .. })) {
        rejected.push(attempt);
    }
    result
}

fn outcome(login: Result<(), CallError>, token: impl Fn() -> String) -> Result<(), Pkcs11Error> {
    match login {
        Ok(()) | Err(CallError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(CallError::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => Err(Pkcs11Error::WrongPin {
            token: token(),
            is_known: false,
        }),
        Err(CallError::Pkcs11(RvError::PinLocked, _)) => {
            Err(Pkcs11Error::PinLocked { token: token() })
        }
        Err(error) => Err(Pkcs11Error::call(&token(), &error)),
    }
}

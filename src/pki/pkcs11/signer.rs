//! A key in a token as a [`RemoteSigner`], with its sessions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cryptoki::error::{Error as CallError, RvError};
use cryptoki::object::{KeyType, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::slot::Limit;
use rustls::SignatureScheme;
use rustls_pki_types::CertificateDer;

use super::error::{Pkcs11Error, described};
use super::key::Pkcs11Key;
use super::login::log_in;
use super::module::{Module, Token};
use super::object::{self, FoundKey};
use super::signature::{SCHEMES, Verdict, Way, verify};
use crate::pki::remote::fits;
use crate::pki::usual_key::key_name;
use crate::pki::{
    Certificate, CredentialsError, RemoteSigner, SigningError, SigningRequest, provider,
};

/// Signed once for each scheme when the key is loaded. It is not a message of TLS.
const TRIAL: &[u8] = b"countersign: a trial signature";

pub(super) struct TokenSigner {
    key: Pkcs11Key,
    module: Arc<Module>,
    /// The label of the token.
    token: String,
    spki: Vec<u8>,
    ways: Vec<(SignatureScheme, Way)>,
    schemes: Vec<SignatureScheme>,
    idle: Mutex<Vec<KeySession>>,
}

/// A session that is logged in, and closed when it is dropped.
struct OpenSession {
    session: Option<Session>,
    module: Arc<Module>,
    /// Handles of an earlier generation of the module can be those of other sessions by now.
    generation: u64,
}

/// A session, and the key in it.
struct KeySession {
    open: OpenSession,
    key: ObjectHandle,
}

impl OpenSession {
    fn get(&self) -> Result<&Session, CallError> {
        self.session.as_ref().ok_or(CallError::InvalidValue) // only while it is dropped
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let _calls = self.module.enter();
        if self.generation == self.module.generation()
            && let Some(session) = self.session.take()
        {
            // It may be closed already, with its token.
            let _ = session.close();
        }
    }
}

impl TokenSigner {
    /// The signer for the leaf of a chain, and its name in errors.
    pub(super) fn for_chain(
        key: Pkcs11Key,
        chain: &[CertificateDer<'static>],
    ) -> Result<(Self, String), Pkcs11Error> {
        let leaf = leaf_of(chain)?;
        let module = load(&key)?;
        found_or_rescanned(&module, || {
            let (open, token) = open(&module, &key)?;
            let _calls = module.enter();
            let found = find(&open, &key, token.info.label())?;
            Self::choose(&key, &open, &token, found, &leaf)
        })
    }

    /// The signer, the chain that the token has for it, and the signer's name in errors.
    pub(super) fn with_chain_of_token(
        key: Pkcs11Key,
    ) -> Result<(Self, Vec<CertificateDer<'static>>, String), Pkcs11Error> {
        let module = load(&key)?;
        found_or_rescanned(&module, || {
            let (open, token) = open(&module, &key)?;
            let _calls = module.enter();
            let label = token.info.label();
            let found = find(&open, &key, label)?;
            let [own] = &*found else {
                return Err(several_keys(&key, label, found.len()));
            };
            let session = open.get().map_err(|error| call(label, &error))?;
            let chain = object::chain(session, own, label)?;
            let leaf = leaf_of(&chain)?;
            let (signer, place) = Self::choose(&key, &open, &token, found, &leaf)?;
            Ok((signer, chain, place))
        })
    }

    /// Tries the keys that were found.
    fn choose(
        key: &Pkcs11Key,
        open: &OpenSession,
        token: &Token,
        found: Vec<FoundKey>,
        leaf: &Certificate,
    ) -> Result<(Self, String), Pkcs11Error> {
        let label = token.info.label();
        let place = format!("the token {label}");
        let mismatch = || CredentialsError::KeyMismatch {
            certificate: leaf.clone(),
            place: place.clone(),
            fitting_position: None,
        };
        let mut usable = Vec::new();
        for candidate in &found {
            match ways_of(open, candidate, label, leaf.spki()) {
                Ok(Some(ways)) => usable.push(ways),
                // Another key with the same label.
                Ok(None) => {}
                Err(Pkcs11Error::CannotSign { .. } | Pkcs11Error::UnsupportedKey { .. })
                    if key.by_certificate && found.len() > 1 => {}
                Err(error) => return Err(error),
            }
        }
        if usable.len() > 1 {
            return Err(several_keys(key, label, usable.len()));
        }
        let ways = usable.pop().ok_or_else(mismatch)?;
        let mut key = key.clone();
        if let Limit::Max(sessions) = token.info.max_session_count() {
            let sessions = usize::try_from(sessions).unwrap_or(usize::MAX);
            key = key.with_fewer_sessions(sessions);
        }
        let signer = Self {
            module: Arc::clone(&open.module),
            token: label.to_owned(),
            spki: leaf.spki().to_vec(),
            schemes: ways.iter().map(|(scheme, _)| *scheme).collect(),
            ways,
            key,
            idle: Mutex::new(Vec::new()),
        };
        Ok((signer, place))
    }

    fn sign_or_fail(&self, request: &SigningRequest<'_>) -> Result<Vec<u8>, Pkcs11Error> {
        let scheme = request.scheme();
        let way = self.ways.iter().find(|(known, _)| *known == scheme);
        let (_, way) = way.ok_or_else(|| Pkcs11Error::CannotSign {
            token: self.token.clone(),
            problem: "the scheme was not offered".into(),
        })?;
        if let Some(session) = self.take_idle() {
            if let Ok(signature) = self.sign_in(&session, *way, request) {
                self.put_back(session);
                return Ok(signature);
            }
            // The token was away, or another user has closed its sessions: none of the others is
            // better. What is wrong, if it is, shows in a new one.
            drop(session);
            self.idle().clear();
        }
        let session = self.open()?;
        let signature = self.sign_in(&session, *way, request)?;
        self.put_back(session);
        Ok(signature)
    }

    fn sign_in(
        &self,
        session: &KeySession,
        way: Way,
        request: &SigningRequest<'_>,
    ) -> Result<Vec<u8>, Pkcs11Error> {
        let (scheme, message) = (request.scheme(), request.message());
        let _calls = self.module.enter();
        let signature = sign(&session.open, session.key, way, message);
        let signature = signature.map_err(|error| call(&self.token, &error))?;
        match signature
            .map(|signature| (verify(&self.spki, scheme, message, &signature), signature))
        {
            Some((Verdict::Good | Verdict::Unknown, signature)) => Ok(signature),
            Some((Verdict::Bad, _)) | None => Err(Pkcs11Error::WrongSignature {
                token: self.token.clone(),
            }),
        }
    }

    /// A new session: the token is looked for again, and the key in it.
    fn open(&self) -> Result<KeySession, Pkcs11Error> {
        let opened = found_or_rescanned(&self.module, || self.open_once());
        opened.map_err(|error| match error {
            Pkcs11Error::NoToken { .. } => Pkcs11Error::TokenRemoved {
                token: self.token.clone(),
                problem: crate::Diagnostic::cause(&error).into_owned(),
            },
            error => error,
        })
    }

    fn open_once(&self) -> Result<KeySession, Pkcs11Error> {
        let (open, token) = open(&self.module, &self.key)?;
        let _calls = self.module.enter();
        let found = find(&open, &self.key, token.info.label())?;
        if let [only] = &*found {
            let key = only.handle;
            return Ok(KeySession { open, key });
        }
        // The one that signs for the certificate.
        let label = token.info.label();
        let (scheme, way) = self.ways.first().ok_or(Pkcs11Error::NoModule)?;
        let signs = |candidate: &&FoundKey| {
            let signature = sign(&open, candidate.handle, *way, TRIAL).ok().flatten();
            signature.is_some_and(|signature| {
                verify(&self.spki, *scheme, TRIAL, &signature) == Verdict::Good
            })
        };
        let mut signing = found.iter().filter(signs).map(|found| found.handle);
        match (signing.next(), signing.next()) {
            (Some(key), None) => {
                drop(signing);
                Ok(KeySession { open, key })
            }
            (None, _) => Err(Pkcs11Error::WrongSignature {
                token: label.to_owned(),
            }),
            (Some(_), Some(_)) => Err(several_keys(&self.key, label, 2)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<KeySession>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<KeySession> {
        let generation = self.module.generation();
        let mut idle = self.idle();
        idle.retain(|session| session.open.generation == generation);
        idle.pop()
    }

    fn put_back(&self, session: KeySession) {
        let mut idle = self.idle();
        if idle.len() < self.key.sessions {
            idle.push(session);
        }
    }
}

impl RemoteSigner for TokenSigner {
    fn public_key(&self) -> &[u8] {
        &self.spki
    }

    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign(&self, request: &SigningRequest<'_>) -> Result<Vec<u8>, SigningError> {
        if request.time_left() == Some(Duration::ZERO) {
            // It waited for its turn too long, and the token has other signatures to make.
            return Err(SigningError::new("the handshake is over"));
        }
        self.sign_or_fail(request).map_err(SigningError::of)
    }

    fn max_concurrent(&self) -> usize {
        self.key.sessions
    }
}

fn leaf_of(chain: &[CertificateDer<'static>]) -> Result<Certificate, CredentialsError> {
    let leaf = chain
        .first()
        .ok_or_else(|| CredentialsError::NoCertificate {
            place: "the chain".into(),
            has_key: false,
        })?;
    Certificate::from_der(leaf).map_err(|source| CredentialsError::Malformed {
        position: 1,
        source,
    })
}

fn load(key: &Pkcs11Key) -> Result<Arc<Module>, Pkcs11Error> {
    Module::load(key.module.as_ref().ok_or(Pkcs11Error::NoModule)?)
}

/// Looks a second time if something is missing that the module may not have read yet: some modules read
/// their tokens once, some what is in them, too.
fn found_or_rescanned<T>(
    module: &Module,
    look: impl Fn() -> Result<T, Pkcs11Error>,
) -> Result<T, Pkcs11Error> {
    let error = match look() {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let may_be_there = matches!(
        error,
        Pkcs11Error::NoToken { .. }
            | Pkcs11Error::NoKey { .. }
            | Pkcs11Error::NoCertificate { .. }
            | Pkcs11Error::WrongSignature { .. }
            | Pkcs11Error::Credentials(CredentialsError::KeyMismatch { .. })
    );
    if may_be_there && module.rescan() {
        return look();
    }
    Err(error)
}

/// Finds the token, opens a session and logs in.
fn open(module: &Arc<Module>, key: &Pkcs11Key) -> Result<(OpenSession, Token), Pkcs11Error> {
    let _calls = module.enter();
    module.revive();
    let generation = module.generation();
    let token = module.find(&key.uri)?;
    let label = token.info.label();
    let session = module.context().open_ro_session_no_drop(token.slot);
    let session = session.map_err(|error| call(label, &error))?;
    let open = OpenSession {
        session: Some(session),
        module: Arc::clone(module),
        generation,
    };
    let session = open.get().map_err(|error| call(label, &error))?;
    log_in(session, module.path(), &token, key)?;
    Ok((open, token))
}

/// The keys that match: one, or several if the certificate chooses.
fn find(open: &OpenSession, key: &Pkcs11Key, token: &str) -> Result<Vec<FoundKey>, Pkcs11Error> {
    let session = open.get().map_err(|error| call(token, &error))?;
    let found = object::keys(session, &key.uri).map_err(|error| call(token, &error))?;
    match found.len() {
        0 => Err(Pkcs11Error::NoKey {
            token: token.into(),
            wanted: key.uri.key_wanted(),
            present: object::labels(session),
        }),
        1 => Ok(found),
        _ if key.by_certificate => Ok(found),
        count => Err(several_keys(key, token, count)),
    }
}

fn several_keys(key: &Pkcs11Key, token: &str, count: usize) -> Pkcs11Error {
    Pkcs11Error::SeveralKeys {
        token: token.into(),
        wanted: key.uri.key_wanted(),
        count,
    }
}

/// The schemes that this key really signs with for this public key. `None` if it is another key.
fn ways_of(
    open: &OpenSession,
    key: &FoundKey,
    token: &str,
    spki: &[u8],
) -> Result<Option<Vec<(SignatureScheme, Way)>>, Pkcs11Error> {
    let cannot = |problem: String| Pkcs11Error::CannotSign {
        token: token.into(),
        problem,
    };
    let unsupported = |key: String| Pkcs11Error::UnsupportedKey {
        token: token.into(),
        key,
    };
    if let Some(kind) = key.kind
        && !matches!(kind, KeyType::RSA | KeyType::EC | KeyType::EC_EDWARDS)
    {
        return Err(unsupported(kind.to_string()));
    }
    let name = key_name(spki);
    let kind = match &*name {
        "elliptic curve P-256" | "elliptic curve P-384" | "elliptic curve P-521" => KeyType::EC,
        "Ed25519" => KeyType::EC_EDWARDS,
        name if name.starts_with("RSA of ") => KeyType::RSA,
        _ => return Err(unsupported(name)),
    };
    if key.kind.is_some_and(|found| found != kind) {
        return Ok(None);
    }
    if !key.can_sign {
        return Err(cannot("its CKA_SIGN is false".into()));
    }
    if key.always_authenticates {
        let problem = "it asks for the PIN at each signature (CKA_ALWAYS_AUTHENTICATE)";
        return Err(cannot(problem.into()));
    }
    let mut ways = Vec::new();
    let mut failure = None;
    let mut is_other = false;
    let schemes = SCHEMES.into_iter().filter(|scheme| fits(*scheme, &name));
    for (scheme, way) in
        schemes.flat_map(|scheme| Way::all(scheme).into_iter().map(move |way| (scheme, way)))
    {
        if ways.last().is_some_and(|(done, _)| *done == scheme) {
            continue;
        }
        let signature = match sign(open, key.handle, way, TRIAL) {
            Ok(signature) => signature.unwrap_or_default(),
            Err(error) if is_gone(&error) => return Err(call(token, &error)),
            Err(error) => {
                failure = Some(described(&error));
                continue;
            }
        };
        match verify(spki, scheme, TRIAL, &signature) {
            Verdict::Good => ways.push((scheme, way)),
            Verdict::Bad => is_other = true,
            // An application with a provider of its own.
            Verdict::Unknown if provider::built_in().is_none() => ways.push((scheme, way)),
            Verdict::Unknown => failure = Some(format!("no provider verifies {scheme:?}")),
        }
    }
    if !ways.is_empty() {
        return Ok(Some(ways));
    }
    if is_other {
        return Ok(None);
    }
    Err(cannot(failure.unwrap_or_default()))
}

/// `None` if what the token returns is not a signature of this kind.
fn sign(
    open: &OpenSession,
    key: ObjectHandle,
    way: Way,
    message: &[u8],
) -> Result<Option<Vec<u8>>, CallError> {
    let (mechanism, input) = way.input(message);
    let signature = open.get()?.sign(&mechanism, key, &input)?;
    Ok(way.output(signature))
}

fn call(token: &str, error: &CallError) -> Pkcs11Error {
    if is_gone(error) {
        return Pkcs11Error::TokenRemoved {
            token: token.into(),
            problem: described(error),
        };
    }
    Pkcs11Error::call(token, error)
}

/// The token, or what it knew about this process, is not there any more.
const fn is_gone(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Pkcs11(
            RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::CryptokiNotInitialized,
            _
        )
    )
}

//! Modules: loaded once, initialized once, and never unloaded.
//!
//! C_Finalize is for the whole process, and its effect on other calls in progress is undefined. It is called
//! for one purpose only: some modules read once which tokens there are, as SoftHSM does, or which keys are in
//! them, as that of TPMs does. A token that comes back, or a new key, is found after a C_Initialize only. Every call of a module holds a shared lock, and
//! [`rescan`](Module::rescan) the exclusive one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as CallError, RvError};
use cryptoki::slot::{Slot, TokenInfo};

use super::error::{Pkcs11Error, described};
use super::uri::Uri;

/// How often tokens are listed anew at most.
const RESCAN_INTERVAL: Duration = Duration::from_secs(1);

/// A module that is loaded and initialized.
pub(super) struct Module {
    path: PathBuf,
    context: Pkcs11,
    /// Held by every call.
    calls: RwLock<()>,
    /// This crate has initialized it, and no other user of it in this process has before.
    is_ours: AtomicBool,
    /// How often it was initialized again.
    generation: AtomicU64,
    rescanned: Mutex<Option<Instant>>,
}

/// A token that matches a URI.
pub(super) struct Token {
    pub(super) slot: Slot,
    pub(super) info: TokenInfo,
}

impl Module {
    /// Loads a module, or returns the one that was loaded before.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, Pkcs11Error> {
        static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

        let failed = |problem: String| Pkcs11Error::Module {
            path: path.to_path_buf(),
            problem,
        };
        if !path.is_absolute() {
            // The loader would search the folders of libraries.
            return Err(failed("its path is not absolute".into()));
        }
        let real = path
            .canonicalize()
            .map_err(|error| failed(error.to_string()))?;
        if !real.is_file() {
            return Err(failed("it is not a file".into()));
        }
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&real) {
            return Ok(Arc::clone(module));
        }
        let context = Pkcs11::new(&real).map_err(|error| match error {
            CallError::LibraryLoading(error) => failed(error.to_string()),
            CallError::MissingSymbol(_) | CallError::NullFunctionPointer => {
                failed("it is not a PKCS#11 module".into())
            }
            other => failed(described(&other)),
        })?;
        let is_ours = initialize(&context).map_err(|error| failed(described(&error)))?;
        let module = Arc::new(Self {
            path: path.to_path_buf(),
            context,
            calls: RwLock::new(()),
            is_ours: AtomicBool::new(is_ours),
            generation: AtomicU64::new(0),
            rescanned: Mutex::new(None),
        });
        modules.insert(real, Arc::clone(&module));
        Ok(module)
    }

    /// To be held during calls, and while sessions are closed.
    pub(super) fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.calls.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn context(&self) -> &Pkcs11 {
        &self.context
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Initializes it if another user of it in this process has finalized it.
    pub(super) fn revive(&self) {
        // If it fails, so does the next call, which reports it.
        if let Ok(true) = initialize(&self.context) {
            self.is_ours.store(true, Ordering::Relaxed);
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the module list its tokens anew, if that is safe: sessions of this crate are closed by it, and
    /// opened again when they are needed. Returns whether it did.
    pub(super) fn rescan(&self) -> bool {
        if !self.is_ours.load(Ordering::Relaxed) {
            return false;
        }
        // Each handshake of a token that is gone asks for it, and other tokens of the module pay.
        let mut rescanned = self
            .rescanned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if rescanned.is_some_and(|last| last.elapsed() < RESCAN_INTERVAL) {
            return false;
        }
        let Ok(_exclusive) = self.calls.try_write() else {
            return false; // signatures are being made
        };
        *rescanned = Some(Instant::now());
        self.generation.fetch_add(1, Ordering::Relaxed);
        let finalized = self.context.clone().finalize();
        let initialized = initialize(&self.context);
        finalized.is_ok() && initialized.is_ok()
    }

    /// The token that matches. The caller has [entered](Self::enter).
    pub(super) fn find(&self, uri: &Uri) -> Result<Token, Pkcs11Error> {
        let failed = |error: &CallError| Pkcs11Error::call(&self.path.to_string_lossy(), error);
        let library_fits = self.library_fits(uri).map_err(|error| failed(&error))?;
        let slots = self.context.get_slots_with_token();
        let mut present = Vec::new();
        let mut found = Vec::new();
        for slot in slots.map_err(|error| failed(&error))? {
            // A token can disappear between two calls.
            let Ok(info) = self.context.get_token_info(slot) else {
                continue;
            };
            if !info.token_initialized() {
                continue;
            }
            present.push(info.label().to_owned());
            if library_fits && token_fits(uri, &info) && self.slot_fits(uri, slot) {
                found.push(Token { slot, info });
            }
        }
        let wanted = uri.token_wanted();
        if found.len() > 1 {
            let names = found.iter().map(|token| {
                let info = &token.info;
                format!("{} (serial {})", info.label(), info.serial_number())
            });
            return Err(Pkcs11Error::SeveralTokens {
                wanted,
                found: names.take(16).collect(),
            });
        }
        present.truncate(16);
        found.pop().ok_or(Pkcs11Error::NoToken { wanted, present })
    }

    fn library_fits(&self, uri: &Uri) -> Result<bool, CallError> {
        let info = self.context.get_library_info()?;
        let version = info.library_version();
        let (full, major) = (version.to_string(), version.major().to_string());
        let wanted = &uri.library_version;
        Ok(fits(&uri.library_manufacturer, info.manufacturer_id())
            && fits(&uri.library_description, info.library_description())
            // RFC 7512 section 2.3: the minor version 0 may be left out.
            && (fits(wanted, &full)
                || (version.minor() == 0 && wanted.as_deref() == Some(&major))))
    }

    fn slot_fits(&self, uri: &Uri, slot: Slot) -> bool {
        if uri.slot_id.is_some_and(|id| id != slot.id()) {
            return false;
        }
        if uri.slot_description.is_none() && uri.slot_manufacturer.is_none() {
            return true;
        }
        self.context.get_slot_info(slot).is_ok_and(|info| {
            fits(&uri.slot_description, info.slot_description())
                && fits(&uri.slot_manufacturer, info.manufacturer_id())
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn token_fits(uri: &Uri, info: &TokenInfo) -> bool {
    fits(&uri.token, info.label())
        && fits(&uri.manufacturer, info.manufacturer_id())
        && fits(&uri.serial, info.serial_number())
        && fits(&uri.model, info.model())
}

fn fits(wanted: &Option<String>, found: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == found)
}

/// Whether it was not initialized before.
fn initialize(context: &Pkcs11) -> Result<bool, CallError> {
    let args = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    match context.initialize(args) {
        Ok(()) => Ok(true),
        Err(CallError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(false),
        Err(error) => Err(error),
    }
}

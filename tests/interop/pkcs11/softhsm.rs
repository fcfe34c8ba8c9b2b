//! Tokens of SoftHSM. It reads its configuration from a variable of the environment, once per process: each
//! test runs in a process of its own, with a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::testing::Issued;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use support::programs::{in_ci, is_there};

pub(crate) const PIN: &str = "1234";

/// Runs the test in a process with an empty folder for tokens, or skips it where SoftHSM is missing.
macro_rules! with_softhsm {
    ($test:ident) => {
        if !$crate::softhsm::in_own_process(module_path!(), stringify!($test)) {
            return;
        }
    };
}
pub(crate) use with_softhsm;

pub(crate) fn in_own_process(module: &str, test: &str) -> bool {
    if support::is_own_process() {
        return true;
    }
    if !is_there(find_module().is_some(), "SoftHSM", in_ci()) {
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let config = folder.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n",
        tokens.display()
    );
    std::fs::write(&config, text).unwrap();
    support::run_with(module, test, &[("SOFTHSM2_CONF", config.as_os_str())])
}

fn find_module() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/softhsm",
        "/usr/lib/x86_64-linux-gnu/softhsm",
        "/usr/lib/aarch64-linux-gnu/softhsm",
        "/usr/lib64/pkcs11",
    ];
    let mut modules = folders
        .iter()
        .map(|folder| Path::new(folder).join("libsofthsm2.so"));
    modules.find(|module| module.is_file())
}

pub(crate) fn module() -> PathBuf {
    find_module().expect("found before")
}

/// The folder of this process.
pub(crate) fn folder() -> PathBuf {
    let config = PathBuf::from(std::env::var_os("SOFTHSM2_CONF").unwrap());
    config.parent().unwrap().to_path_buf()
}

pub(crate) fn write(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{errors}"
    );
}

/// Makes a token.
pub(crate) fn token(label: &str) {
    let pins = ["--pin", PIN, "--so-pin", "5678"];
    run(
        "softhsm2-util",
        &[&["--init-token", "--free", "--label", label][..], &pins].concat(),
    );
}

/// Writes the key into a token.
pub(crate) fn import(token: &str, issued: &Issued, label: &str, id: &str) {
    let key = write("import.pem", issued.key_pem());
    run(
        "softhsm2-util",
        &[
            "--import",
            key.to_str().unwrap(),
            "--token",
            token,
            "--label",
            label,
            "--id",
            id,
            "--pin",
            PIN,
        ],
    );
    std::fs::remove_file(key).unwrap();
}

/// `pkcs11-tool`, logged in to a token.
pub(crate) fn tool(token: &str, arguments: &[&str]) {
    let module = module();
    let login = [
        "--module",
        module.to_str().unwrap(),
        "--token-label",
        token,
        "--login",
        "--pin",
        PIN,
    ];
    run("pkcs11-tool", &[&login[..], arguments].concat());
}

/// A URI with the module and the PIN.
pub(crate) fn uri(attributes: &str) -> String {
    let module = module();
    format!(
        "pkcs11:{attributes}?module-path={}&pin-value={PIN}",
        module.display()
    )
}

/// The module, as another part of the program would use it.
pub(crate) fn context() -> Pkcs11 {
    let context = Pkcs11::new(module()).unwrap();
    // It may be initialized already.
    let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    context
}

/// A session with the first token.
pub(crate) fn session() -> Session {
    let context = context();
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    let session = context.open_rw_session(slot).unwrap();
    // This process may be logged in already.
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    session
}

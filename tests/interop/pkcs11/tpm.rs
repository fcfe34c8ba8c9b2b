//! Keys in a TPM, emulated by swtpm, behind the PKCS#11 module of the TPM2 software stack.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::pki::pkcs11::Pkcs11Key;
use countersign::testing::{TestCa, handshake};
use countersign::{Acceptor, Connector, Credentials, policy};
use support::programs::{in_ci, is_installed, is_there};
use support::{SERVER, VERSIONS, Version, provider};

use crate::softhsm::{PIN, run};

/// The folder of the test's own process.
const FOLDER: &str = "COUNTERSIGN_TEST_TPM";

fn module() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64/pkcs11",
    ];
    let names = ["libtpm2_pkcs11.so.1", "libtpm2_pkcs11.so"];
    let mut modules = folders
        .iter()
        .flat_map(|folder| names.map(|name| Path::new(folder).join(name)));
    modules.find(|module| module.is_file())
}

/// An emulated TPM, which ends with the test.
struct Tpm(Child);

impl Drop for Tpm {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> Tpm {
    let socket = folder.join("tpm");
    let state = folder.join("state");
    std::fs::create_dir(&state).unwrap();
    let child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=unixio,path={}", socket.display()))
        .arg("--ctrl")
        .arg(format!("type=unixio,path={}.ctrl", socket.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let tpm = Tpm(child);
    for _ in 0..500 {
        if socket.exists() && folder.join("tpm.ctrl").exists() {
            return tpm;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("swtpm has no socket after 5 s");
}

fn in_own_process(module_path: &str, test: &str) -> bool {
    if support::is_own_process() {
        return true;
    }
    if !is_installed("swtpm", "--version", in_ci())
        || !is_there(module().is_some(), "libtpm2_pkcs11", in_ci())
    {
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let _tpm = start(folder.path());
    let tcti = format!("swtpm:path={}", folder.path().join("tpm").display());
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    support::run_with(
        module_path,
        test,
        &[
            ("TPM2_PKCS11_TCTI", OsStr::new(&tcti)),
            ("TPM2_PKCS11_STORE", store.as_os_str()),
            ("TSS2_LOG", OsStr::new("all+NONE")),
            (FOLDER, folder.path().as_os_str()),
        ],
    )
}

#[tokio::test]
async fn keys_of_a_tpm_sign_on_both_sides() {
    if !in_own_process(module_path!(), "keys_of_a_tpm_sign_on_both_sides") {
        return;
    }
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let module = module().unwrap();
    let tool = |arguments: &[&str]| {
        let module = ["--module", module.to_str().unwrap()];
        run("pkcs11-tool", &[&module[..], arguments].concat());
    };
    let so = ["--so-pin", "5678"];
    tool(
        &[
            &["--slot-index", "0", "--init-token", "--label", "orders"],
            &so[..],
        ]
        .concat(),
    );
    let login = ["--token-label", "orders", "--login"];
    let init = ["--login-type", "so", "--init-pin", "--pin", PIN];
    tool(&[&login[..], &so, &init].concat());
    let login = [&login[..], &["--pin", PIN]].concat();

    let ca = TestCa::new("Root");
    for (kind, label, id) in [("EC:prime256v1", "ec", "01"), ("rsa:2048", "rsa", "02")] {
        let make = [
            "--keypairgen",
            "--key-type",
            kind,
            "--label",
            label,
            "--id",
            id,
        ];
        tool(&[&login[..], &make].concat());
        let spki = folder.join("spki.der");
        let read = ["--read-object", "--type", "pubkey", "--id", id, "-o"];
        tool(&[&login[..], &read, &[spki.to_str().unwrap()]].concat());
        let spki = std::fs::read(spki).unwrap();
        let issued = ca.leaf().dns(SERVER).spki_der(spki).issue();
        let chain = folder.join("chain.pem");
        std::fs::write(&chain, issued.chain_pem()).unwrap();
        let uri = |pin: &str| {
            let module = module.display();
            format!("pkcs11:token=orders;object={label}?module-path={module}&pin-value={pin}")
        };
        if id == "01" {
            let wrong = Pkcs11Key::from_uri(&uri("9999")).unwrap();
            let error = Credentials::from_pkcs11(&chain, wrong).unwrap_err();
            assert_eq!(error.reason(), "pkcs11_wrong_pin", "{error}");
        }
        let key = Pkcs11Key::from_uri(&uri(PIN)).unwrap();
        let in_token = Credentials::from_pkcs11(&chain, key).unwrap();
        let in_file = ca.leaf().dns(SERVER).issue().credentials();
        for version in VERSIONS {
            for (server, client) in [(&in_token, &in_file), (&in_file, &in_token)] {
                let acceptor = Acceptor::builder()
                    .credentials(server.clone())
                    .trust(ca.trust())
                    .identify(DnsName::extractor())
                    .authorize(policy::allow_any())
                    .allow_tls12()
                    .build()
                    .unwrap();
                let connector = Connector::builder()
                    .credentials(client.clone())
                    .trust(ca.trust())
                    .identify(DnsName::extractor())
                    .authorize(policy::allow_any())
                    .allow_tls12()
                    .crypto_provider(provider(version))
                    .build()
                    .unwrap();
                let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
                let text =
                    |side: &str| format!("{label}, {side}, 1.2: {}", version == Version::Tls12);
                accepted.unwrap_or_else(|error| panic!("{}: {error}", text("server")));
                connected.unwrap_or_else(|error| panic!("{}: {error}", text("client")));
            }
        }
    }
}

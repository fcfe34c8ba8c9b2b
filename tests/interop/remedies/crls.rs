//! The remedies for CRLs that do not load.

use countersign::Diagnostic as _;
use countersign::pki::CrlNumber;
use countersign::trust::Crls;

use crate::commands::{Folder, has};

/// A CA of `openssl ca` whose configuration has no more than it needs.
const CONFIGURATION: &str = "\
[ca]
default_ca = CA_default
[CA_default]
database = ./index.txt
certificate = ./root.pem
private_key = ./root.key
default_md = sha256
default_crl_days = 30
[req]
distinguished_name = dn
[dn]
";

const ROOT: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj /CN=Root -days 30 -config openssl.cnf -keyout root.key -out root.pem && : > index.txt";

const MAKE: &str = "openssl ca -config openssl.cnf -gencrl -out ca.crl";

/// What a remedy has in backticks.
fn quoted(remedy: &str) -> Vec<&str> {
    remedy.split('`').skip(1).step_by(2).collect()
}

/// One remedy ends in a CRL that loads by default: it does not lead to the next error.
#[test]
fn a_version_1_crl_is_made_again_with_a_number() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    folder.write("openssl.cnf", CONFIGURATION);
    folder.shell(ROOT, "");
    folder.shell(MAKE, "");
    let error = Crls::from_file(folder.path("ca.crl")).unwrap_err();
    assert_eq!(error.reason(), "v1_crl");
    let remedy = error.remedy().into_owned();
    let [extensions, number, section, key_id, start, make] = quoted(&remedy)[..] else {
        panic!("two settings, a section of one line and two commands are expected: {remedy}");
    };
    let of_ca = format!("[CA_default]\n{extensions}\n{number}\n");
    let corrected = CONFIGURATION.replace("[CA_default]\n", &of_ca);
    folder.write("openssl.cnf", format!("{corrected}{section}\n{key_id}\n"));
    folder.shell(start, "");
    folder.shell(make, "");
    Crls::from_file(folder.path("ca.crl")).unwrap();
}

#[test]
fn a_crl_without_a_number_is_made_again_with_one() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    let version_2 =
        CONFIGURATION.replace("[CA_default]\n", "[CA_default]\ncrl_extensions = crl_ext\n");
    let version_2 = format!("{version_2}[crl_ext]\nauthorityKeyIdentifier = keyid,issuer\n");
    folder.write("openssl.cnf", &version_2);
    folder.shell(ROOT, "");
    folder.shell(MAKE, "");
    let error = Crls::from_file(folder.path("ca.crl")).unwrap_err();
    assert_eq!(error.reason(), "crl_number");
    let remedy = error.remedy().into_owned();
    let [number, start] = quoted(&remedy)[..] else {
        panic!("a setting and a command are expected: {remedy}");
    };
    let of_ca = format!("[CA_default]\n{number}\n");
    folder.write("openssl.cnf", version_2.replace("[CA_default]\n", &of_ca));
    folder.shell(start, "");
    folder.shell(MAKE, "");
    Crls::from_file(folder.path("ca.crl")).unwrap();
}

/// Both errors offer the option too, for CAs that cannot be changed.
#[test]
fn the_option_that_is_named_loads_both() {
    if !has(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    folder.write("openssl.cnf", CONFIGURATION);
    folder.shell(ROOT, "");
    folder.shell(MAKE, "");
    let path = folder.path("ca.crl");
    let error = Crls::from_file(&path).unwrap_err();
    assert!(error.remedy().contains("CrlNumber::Optional"), "{error}");
    let loader = Crls::loader().number(CrlNumber::Optional);
    loader.from_file(&path).unwrap();
}

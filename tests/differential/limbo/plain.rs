//! The verdict of plain rustls-webpki, with its defaults.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{
    CertRevocationList, EndEntityCert, Error, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
};

use super::case::{Case, Side};

pub(crate) fn decide(case: &Case) -> Result<(), Error> {
    let roots: Vec<CertificateDer<'static>> = case
        .trusted_certs
        .iter()
        .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .collect();
    let anchors = roots
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()?;
    let crls = case
        .crls
        .iter()
        .map(|pem| read_crl(pem))
        .collect::<Result<Vec<_>, _>>()?;
    let crls: Vec<_> = crls.iter().collect();
    // Without a list there is nothing to build; the cases without one are not about revocation.
    let revocation = RevocationOptionsBuilder::new(&crls);
    let usage = match case.peer {
        Side::Client => KeyUsage::client_auth(),
        Side::Server => KeyUsage::server_auth(),
    };

    let presented = case.presented();
    let (leaf, intermediates) = presented.split_first().unwrap();
    let leaf = EndEntityCert::try_from(leaf)?;
    leaf.verify_for_usage(
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all,
        &anchors,
        intermediates,
        case.now(),
        usage,
        revocation.ok().map(RevocationOptionsBuilder::build),
        None,
    )?;
    match case.server_name() {
        Some(name) => leaf.verify_is_valid_for_subject_name(&name),
        None => Ok(()),
    }
}

fn read_crl(pem: &str) -> Result<CertRevocationList<'static>, Error> {
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    OwnedCertRevocationList::from_der(&der).map(CertRevocationList::from)
}

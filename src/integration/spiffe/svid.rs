//! What an agent gives, read and checked as a whole.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::WorkloadError;
use super::messages::{X509Response, X509Svid};
use crate::identity::{IdentityExtractor as _, SpiffeId, TrustDomain};
use crate::pki::Crl;
use crate::pki::der::Reader;
use crate::trust::{Crls, Revocation, TrustBundles, UnknownStatus};
use crate::{Credentials, Diagnostic, TrustStore};

/// Our identity, with what it is to be used with.
#[derive(Clone)]
pub(super) struct Svid {
    pub(super) id: SpiffeId,
    pub(super) credentials: Credentials,
    /// The bundles of our trust domain and of those that are federated with it.
    pub(super) bundles: TrustBundles,
    crls: Option<Crls>,
    /// Of all of this, as the agent wrote it.
    digest: [u8; 32],
}

/// Which of several identities is ours.
#[derive(Clone, Debug, Default)]
pub(super) enum Choice {
    /// The first (SPIFFE Workload API, section 5.3).
    #[default]
    Default,
    Hint(String),
    Id(SpiffeId),
}

impl Choice {
    fn of(&self, response: &X509Response) -> Result<usize, WorkloadError> {
        let mut svids = response.svids.iter();
        let (found, wanted) = match self {
            Self::Default => (svids.next().map(|_| 0), "at all".to_owned()),
            // Of several with one hint, the first counts (section 5.2.1).
            Self::Hint(hint) => (
                svids.position(|svid| svid.hint == *hint),
                format!("with the hint {hint}"),
            ),
            Self::Id(id) => (
                svids.position(|svid| svid.spiffe_id == id.as_str()),
                id.to_string(),
            ),
        };
        found.ok_or(WorkloadError::NotGiven { wanted })
    }
}

impl Svid {
    /// Reads a response as a whole: one that is malformed in any part is an error.
    pub(super) fn of(response: &X509Response, choice: &Choice) -> Result<Self, WorkloadError> {
        let chosen = &response.svids[choice.of(response)?];
        let (id, credentials) = read(chosen)?;
        Ok(Self {
            digest: digest(response, chosen),
            bundles: bundles(response)?,
            crls: crls(&response.crls)?,
            id,
            credentials,
        })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Without CRLs, nothing is revoked.
    pub(super) fn revocation(&self, unknown: UnknownStatus) -> Revocation {
        match &self.crls {
            Some(crls) => Revocation::new(crls.clone()).unknown_status(unknown),
            None => Revocation::none(),
        }
    }
}

fn read(svid: &X509Svid) -> Result<(SpiffeId, Credentials), WorkloadError> {
    let id = parse_id(&svid.spiffe_id)?;
    let bad = |problem: String| WorkloadError::malformed(format!("the X.509-SVID {id}"), problem);
    let chain = certificates(&svid.chain).ok_or_else(|| bad("its chain is not DER".into()))?;
    let key = PrivatePkcs8KeyDer::from(svid.key.to_vec());
    let credentials = Credentials::from_der(chain, PrivateKeyDer::Pkcs8(key))
        .map_err(|error| bad(error.cause().into_owned()))?;
    let named = SpiffeId::extractor()
        .extract(credentials.certificate())
        .map_err(|error| bad(error.cause().into_owned()))?;
    if named != id {
        return Err(bad(format!("its certificate is for {named}")));
    }
    Ok((id, credentials))
}

/// The bundles of all trust domains. Each vouches only for itself.
fn bundles(response: &X509Response) -> Result<TrustBundles, WorkloadError> {
    let mut bundles = TrustBundles::default();
    let mut seen: Vec<(TrustDomain, &[u8])> = Vec::new();
    let mut given = Vec::new();
    for svid in &response.svids {
        given.push((
            parse_id(&svid.spiffe_id)?.trust_domain().clone(),
            &*svid.bundle,
        ));
    }
    for (domain, bundle) in &response.federated_bundles {
        given.push((parse_domain(domain)?, bundle));
    }
    for (domain, bundle) in given {
        let bad =
            |problem: String| WorkloadError::malformed(format!("the bundle of {domain}"), problem);
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == domain) {
            if *other == bundle {
                continue;
            }
            return Err(bad("there are two different ones".into()));
        }
        seen.push((domain.clone(), bundle));
        let roots = certificates(bundle).ok_or_else(|| bad("it is not DER".into()))?;
        let store = TrustStore::from_der(roots).map_err(|error| bad(error.cause().into_owned()))?;
        // An empty bundle trusts no peer of its domain.
        if !store.is_empty() {
            let with = bundles.with(domain.clone(), store);
            bundles = with.map_err(|error| bad(error.cause().into_owned()))?;
        }
    }
    Ok(bundles)
}

fn crls(lists: &[Vec<u8>]) -> Result<Option<Crls>, WorkloadError> {
    let mut read = Vec::new();
    for (number, der) in (1..).zip(lists) {
        let list = Crl::from_der(der)
            .map_err(|error| WorkloadError::malformed(format!("CRL {number}"), error.cause()))?;
        read.push(list);
    }
    Ok(Crls::new(read).ok())
}

/// A SPIFFE ID of the agent.
pub(super) fn parse_id(text: &str) -> Result<SpiffeId, WorkloadError> {
    let id: Result<SpiffeId, _> = text.parse();
    id.map_err(|error| WorkloadError::malformed(format!("the SPIFFE ID \"{text}\""), error.cause()))
}

/// The key of a bundle: the SPIFFE ID of a trust domain, or its name.
fn parse_domain(text: &str) -> Result<TrustDomain, WorkloadError> {
    let name = text.strip_prefix("spiffe://").unwrap_or(text);
    name.parse()
        .map_err(|error: crate::identity::IdentityError| {
            WorkloadError::malformed(format!("the trust domain \"{text}\""), error.cause())
        })
}

/// Concatenated certificates.
fn certificates(mut der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut all = Vec::new();
    while !der.is_empty() {
        let one = Reader::new(der).any().ok()?;
        all.push(CertificateDer::from(one.whole.to_vec()));
        der = &der[one.whole.len()..];
    }
    Some(all)
}

fn digest(response: &X509Response, chosen: &X509Svid) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut put = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    for bytes in [chosen.spiffe_id.as_bytes(), &chosen.chain, &chosen.key] {
        put(bytes);
    }
    // In an order that does not depend on the agent's map.
    let mut bundles: Vec<(&str, &[u8])> = response
        .svids
        .iter()
        .map(|svid| (&*svid.spiffe_id, &*svid.bundle))
        .chain(
            response
                .federated_bundles
                .iter()
                .map(|(domain, bundle)| (&**domain, &**bundle)),
        )
        .collect();
    bundles.sort_unstable();
    for (domain, bundle) in bundles {
        put(domain.as_bytes());
        put(bundle);
    }
    for list in &response.crls {
        put(list);
    }
    digest.finalize().into()
}

//! Our verdict on a folder with a chain, roots, and perhaps a key, CRLs and a deny list: as an operator
//! would load them, and as a server would verify the client.

use std::convert::Infallible;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use countersign::gate::AdmitError;
use countersign::identity::{
    CommonName, DnsName, Email, ExtensionValue, Fingerprint, IdentityExtractor, IpAddress,
    KubernetesUser, OrganizationalUnit, Psd2, SerialAndIssuer, SpiffeId, Subject, Upn, Uri,
};
use countersign::pki::CrlNumber;
use countersign::pki_types::{CertificateDer, UnixTime};
use countersign::policy::{DenyEntry, DenyList, allow_any};
use countersign::testing::{FixedClock, TestCa};
use countersign::trust::{
    CrlLoader, Crls, DeltaCrls, EkuPolicy, Limits, Profile, Revocation, RevocationDepth,
};
use countersign::{Acceptor, ConnectionInfo, Credentials, Diagnostic, TrustStore};
use rustls_pki_types::pem::PemObject as _;

use super::found::Case;

/// How a case is looked at.
pub(crate) struct Attempt<'a> {
    choice: &'a Choice,
    identity: String,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(choice: &'a Choice, identity: &str) -> Self {
        let identity = identity.to_owned();
        Self { choice, identity }
    }

    /// The case's name, and the choice if it is not the case's own.
    pub(crate) fn name(&self, case: &Case) -> String {
        match self.choice.label {
            "" => case.name.clone(),
            label => format!("{}, {label}", case.name),
        }
    }
}

/// The options of an operator.
pub(crate) struct Choice {
    label: &'static str,
    pins: bool,
    /// Without the client's own look at its key.
    as_peer: bool,
    usage: Option<EkuPolicy>,
    profile: Option<Profile>,
    chain_length: Option<usize>,
    revocation: Option<fn(Revocation) -> Revocation>,
    crls: fn(CrlLoader) -> CrlLoader,
}

impl Choice {
    pub(crate) const NONE: Self = Self {
        label: "",
        pins: false,
        as_peer: false,
        usage: None,
        profile: None,
        chain_length: None,
        revocation: None,
        crls: |loader| loader,
    };
    /// The roots are the peer's own certificate.
    pub(crate) const PIN: Self = Self {
        pins: true,
        ..Self::NONE
    };

    /// The client loads its key elsewhere.
    pub(crate) const AS_PEER: Self = Self {
        label: "as the server sees it",
        as_peer: true,
        ..Self::NONE
    };

    /// What else is to be tried: by the remedies of the refusals.
    pub(crate) fn of_case(name: &str) -> &'static [Self] {
        const RAISED: Choice = Choice {
            label: "with a limit of 12 certificates",
            chain_length: Some(12),
            ..Choice::NONE
        };
        const AS_ROOT: Choice = Choice {
            label: "as a root",
            ..Choice::NONE
        };
        const END_ENTITY: Choice = Choice {
            label: "with RevocationDepth::EndEntity",
            revocation: Some(|revocation| revocation.depth(RevocationDepth::EndEntity)),
            ..Choice::NONE
        };
        const TOLERANT: Choice = Choice {
            label: "with a clock tolerance of an hour",
            revocation: Some(|revocation| revocation.clock_tolerance(Duration::from_secs(3600))),
            ..Choice::NONE
        };
        const NUMBER: Choice = Choice {
            label: "with CrlNumber::Optional",
            crls: |loader| loader.number(CrlNumber::Optional),
            ..Choice::NONE
        };
        const NO_DELTA: Choice = Choice {
            label: "with DeltaCrls::Skip",
            crls: |loader| loader.delta(DeltaCrls::Skip),
            ..Choice::NONE
        };
        match name {
            "f01-leaf-ed448" | "f01-leaf-rsa2047" | "f07-spki-no-null" => &[Self::AS_PEER],
            "e13-deep-chain" => &[RAISED],
            "e14-opcua-self-signed" => &[AS_ROOT],
            "i08c-this-update-future" => &[TOLERANT],
            "i06-no-number" | "i07-v1" | "r01-easyrsa-crl" | "r02-go-createcrl"
            | "r07-v1-remedy" => &[NUMBER],
            "i14-base-and-delta" => &[NO_DELTA],
            "i17-intermediate-without-crl" => &[END_ENTITY],
            _ => &[],
        }
    }
}

#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted {
        /// The identity, where the case is about one.
        peer: Option<String>,
    },
    Refused {
        /// While what was done.
        step: &'static str,
        reason: &'static str,
        cause: String,
        remedy: String,
    },
}

impl Verdict {
    pub(crate) fn refused(step: &'static str, error: &dyn Diagnostic) -> Self {
        Self::Refused {
            step,
            reason: error.reason(),
            cause: error.cause().into_owned(),
            remedy: error.remedy().into_owned(),
        }
    }

    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Accepted { .. } => None,
            Self::Refused { reason, .. } => Some(reason),
        }
    }

    /// Without the path of the case's folder.
    fn without(self, folder: &Path) -> Self {
        let prefix = format!("{}/", folder.display());
        match self {
            Self::Refused {
                step,
                reason,
                cause,
                remedy,
            } => Self::Refused {
                step,
                reason,
                cause: cause.replace(&prefix, ""),
                remedy: remedy.replace(&prefix, ""),
            },
            accepted @ Self::Accepted { .. } => accepted,
        }
    }
}

/// Our verdict at the time `now`.
pub(crate) fn decide(folder: &Path, attempt: &Attempt<'_>, now: UnixTime) -> Verdict {
    let given = Given {
        folder,
        attempt,
        now,
    };
    let verdict = match &*attempt.identity {
        "" | "spki" => given.identified_by(Fingerprint::spki_extractor()),
        "certificate" => given.identified_by(Fingerprint::certificate_extractor()),
        "cn" => given.identified_by(CommonName::extractor()),
        "dn" => given.identified_by(Subject::extractor()),
        "dns" => given.identified_by(DnsName::extractor()),
        "email" => given.identified_by(Email::extractor()),
        "ip" => given.identified_by(IpAddress::extractor()),
        "kubernetes" => given.identified_by(KubernetesUser::extractor()),
        "ou" => given.identified_by(OrganizationalUnit::extractor()),
        "psd2" => given.identified_by(Psd2::extractor()),
        "serial" => given.identified_by(SerialAndIssuer::extractor()),
        "spiffe" => given.identified_by(SpiffeId::extractor()),
        "upn" => given.identified_by(Upn::extractor()),
        "uri" => given.identified_by(Uri::extractor()),
        other => match other.strip_prefix("ext:") {
            Some(oid) => given.identified_by(ExtensionValue::extractor(oid)),
            None => panic!("{}: unknown identity: {other}", folder.display()),
        },
    };
    verdict.unwrap_or_else(|refused| refused).without(folder)
}

struct Given<'a> {
    folder: &'a Path,
    attempt: &'a Attempt<'a>,
    now: UnixTime,
}

/// A server's own credentials, which no case is about.
static SERVER: LazyLock<Credentials> = LazyLock::new(|| {
    TestCa::new("Servers")
        .leaf()
        .dns("server.example")
        .issue()
        .credentials()
});

/// The error of a step, as a verdict.
fn at<E: Diagnostic>(step: &'static str) -> impl Fn(E) -> Verdict {
    move |error| Verdict::refused(step, &error)
}

impl Given<'_> {
    fn identified_by<X>(&self, extractor: X) -> Result<Verdict, Verdict>
    where
        X: IdentityExtractor<Identity: Display> + 'static,
    {
        let choice = self.attempt.choice;
        let crls = self.crls()?;
        if !self.has("chain.pem") {
            return Ok(Verdict::Accepted { peer: None });
        }
        let trust = self.trust()?;
        let chain = self.chain()?;
        let denied = DenyList::new();
        denied.replace(self.denied()?);

        let mut acceptor = Acceptor::builder()
            .credentials(SERVER.clone())
            .trust(trust)
            .identify(extractor.map(|identity| identity.to_string()))
            .authorize(allow_any())
            .deny_list(&denied)
            .clock(FixedClock::at(self.now));
        if let Some(crls) = crls {
            let revocation = Revocation::new(crls);
            acceptor = acceptor.revocation(match choice.revocation {
                None => revocation,
                Some(choose) => choose(revocation),
            });
        }
        if let Some(usage) = choice.usage {
            acceptor = acceptor.extended_key_usage(usage);
        }
        if let Some(profile) = choice.profile {
            acceptor = acceptor.profile(profile);
        }
        if let Some(length) = choice.chain_length {
            acceptor = acceptor.limits(
                Limits::default()
                    .chain_length(length)
                    .intermediates(length - 1),
            );
        }
        let acceptor = acceptor.build().map_err(at("the acceptor is built"))?;
        let admitted = acceptor
            .control()
            .admit_chain(&chain, ConnectionInfo::default());
        let peer = match admitted {
            Ok(admission) => admission.peer().identity().clone(),
            Err(error) => return Err(Verdict::refused(step_of(&error), &error)),
        };
        let peer = (!self.attempt.identity.is_empty()).then_some(peer);
        Ok(Verdict::Accepted { peer })
    }

    fn trust(&self) -> Result<TrustStore, Verdict> {
        let roots = self.folder.join("roots.pem");
        let loaded = if self.attempt.choice.pins {
            TrustStore::empty().pin_pem_file(roots)
        } else {
            TrustStore::from_pem_file(roots)
        };
        loaded.map_err(at("the roots are loaded"))
    }

    /// As the client loads them, which also compares the key.
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Verdict> {
        let chain = self.folder.join("chain.pem");
        if self.attempt.choice.as_peer || !self.has("key.pem") {
            let certificates = CertificateDer::pem_file_iter(chain).unwrap();
            return Ok(certificates.map(Result::unwrap).collect());
        }
        let loaded = Credentials::from_pem_files(chain, self.folder.join("key.pem"));
        let credentials = loaded.map_err(at("the client loads its chain and key"))?;
        Ok(credentials.chain().to_vec())
    }

    /// `None` where there are none, so that revocation is not checked. Several are in a folder.
    fn crls(&self) -> Result<Option<Crls>, Verdict> {
        let loader = (self.attempt.choice.crls)(Crls::loader());
        let loaded = match &*self.crl_files() {
            [] => return Ok(None),
            [file] => loader.from_file(file).map_err(at("the CRLs are loaded")),
            files => {
                let folder = tempfile::tempdir().unwrap();
                for file in files {
                    std::fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
                }
                let loaded = loader
                    .from_dir(folder.path())
                    .map_err(at("the CRLs are loaded"));
                loaded.map_err(|refused| refused.without(folder.path()))
            }
        };
        loaded.map(Some)
    }

    fn crl_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut crls: Vec<_> = files
            .filter(|file| {
                let name = file.file_name().unwrap().to_str().unwrap();
                name.starts_with("crl") && name.ends_with(".pem")
            })
            .collect();
        crls.sort();
        crls
    }

    fn denied(&self) -> Result<Vec<DenyEntry<String>>, Verdict> {
        if !self.has("deny.txt") {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(self.folder.join("deny.txt")).unwrap();
        let entries =
            DenyEntry::parse_list_with(&text, |identity| Ok::<_, Infallible>(identity.to_owned()));
        entries.map_err(at("the deny list is read"))
    }

    fn has(&self, file: &str) -> bool {
        self.folder.join(file).is_file()
    }
}

const fn step_of(error: &AdmitError) -> &'static str {
    match error {
        AdmitError::Chain(_) => "the chain is verified",
        AdmitError::Identity { .. } => "the identity is read",
        _ => "the peer is authorized",
    }
}

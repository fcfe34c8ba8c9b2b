//! What differs between the accepting and the connecting side.

use std::fmt;

use rustls::{ClientConfig, ServerConfig};

use crate::gate::ServerNameVerification;
use crate::pki::{Certificate, Credentials};
use crate::side::Side;
use crate::tls::config::{ClientTemplate, Common, ServerTemplate};
use crate::tls::{BuildError, ClientConfigs, InForce, RootHints, ServerConfigs};
use crate::trust::Trust;

#[expect(unnameable_types, reason = "only this crate implements it")]
mod sealed {
    pub trait Sealed {
        /// A connector's policy identifies the server: its certificate needs no host name.
        fn leave_names_to_policy(&mut self) {}
    }
}

/// The side of a connection that a [`Builder`](super::builder::Builder) builds for: [`ServerSide`] or
/// [`ClientSide`].
///
/// ```
/// use std::time::Duration;
///
/// use countersign::builder::{Builder, Role};
///
/// /// Options that a program sets on both sides.
/// fn with_our_timeouts<S: Role, I>(builder: Builder<S, I>) -> Builder<S, I> {
///     builder.handshake_timeout(Duration::from_secs(5))
/// }
/// ```
pub trait Role: sealed::Sealed + Default {}

/// Changes a configuration of rustls.
pub(super) type Customize<C> = Box<dyn FnOnce(&mut C) + Send>;

/// The accepting side, with the options that only an acceptor has.
///
/// ```
/// use countersign::Acceptor;
/// use countersign::builder::{NeedsCredentials, ServerSide};
///
/// let builder: NeedsCredentials<ServerSide> = Acceptor::builder();
/// ```
#[derive(Default)]
pub struct ServerSide {
    pub(super) named: Vec<(String, Credentials)>,
    pub(super) hints: RootHints,
    pub(super) customize: Option<Customize<ServerConfig>>,
}

/// The connecting side, with the options that only a connector has.
///
/// ```
/// use countersign::Connector;
/// use countersign::builder::{ClientSide, NeedsCredentials};
///
/// let builder: NeedsCredentials<ClientSide> = Connector::builder();
/// ```
#[derive(Default)]
pub struct ClientSide {
    pub(super) server_names: ServerNameVerification,
    pub(super) customize: Option<Customize<ClientConfig>>,
}

impl sealed::Sealed for ServerSide {}
impl sealed::Sealed for ClientSide {
    fn leave_names_to_policy(&mut self) {
        self.server_names = ServerNameVerification::ByPolicy;
    }
}
impl Role for ServerSide {}
impl Role for ClientSide {}

/// A side's TLS configuration.
pub(crate) trait TlsRole: Role + 'static {
    /// In events and figures.
    const SIDE: Side;
    /// Whether open connections close when our credentials are replaced, so that new ones use them.
    const RECONNECTS_WITH_NEW_CREDENTIALS: bool;

    /// What the configurations of all generations have in common, with our certificates.
    type Template: Send + Sync;
    /// The configurations of one generation.
    type Configs: Send + Sync;

    fn server_names(&self) -> ServerNameVerification;

    /// Our credentials for names (SNI).
    fn named(&self) -> &[(String, Credentials)] {
        &[]
    }

    fn template<I: Send + Sync + 'static>(
        self,
        in_force: &InForce<I>,
        trust: &Trust,
        credentials: &Credentials,
        common: Common,
    ) -> Result<Self::Template, BuildError>;

    /// The template with other certificates. Certificates that are not given stay.
    fn with_credentials(
        template: &Self::Template,
        default: Option<Credentials>,
        named: Vec<(String, Credentials)>,
    ) -> Result<Self::Template, BuildError>;

    fn configs<I: Send + Sync + 'static>(
        template: &Self::Template,
        in_force: &InForce<I>,
        trust: &Trust,
    ) -> Result<Self::Configs, BuildError>;

    /// The configurations for a new policy, where they change with it.
    fn configs_for_policy<I: Send + Sync + 'static>(
        template: &Self::Template,
        in_force: &InForce<I>,
    ) -> Option<Self::Configs>;

    /// Our own certificates with the names that they are for, the default first.
    fn own_certificates(template: &Self::Template) -> Vec<(Option<String>, Certificate)>;
}

impl TlsRole for ServerSide {
    const SIDE: Side = Side::Server;
    const RECONNECTS_WITH_NEW_CREDENTIALS: bool = false;

    type Template = ServerTemplate;
    type Configs = ServerConfigs;

    fn server_names(&self) -> ServerNameVerification {
        ServerNameVerification::ByPolicy
    }

    fn named(&self) -> &[(String, Credentials)] {
        &self.named
    }

    fn template<I: Send + Sync + 'static>(
        self,
        in_force: &InForce<I>,
        trust: &Trust,
        credentials: &Credentials,
        common: Common,
    ) -> Result<ServerTemplate, BuildError> {
        let customize = self.customize.unwrap_or_else(|| Box::new(|_| ()));
        let (named, hints) = (&self.named, self.hints);
        ServerTemplate::new(
            in_force,
            trust,
            credentials,
            named,
            common,
            hints,
            customize,
        )
    }

    fn with_credentials(
        template: &ServerTemplate,
        default: Option<Credentials>,
        named: Vec<(String, Credentials)>,
    ) -> Result<ServerTemplate, BuildError> {
        template.with_credentials(default, named)
    }

    fn configs<I: Send + Sync + 'static>(
        template: &ServerTemplate,
        in_force: &InForce<I>,
        trust: &Trust,
    ) -> Result<ServerConfigs, BuildError> {
        template.configs(in_force, trust)
    }

    /// Sessions stay: each is authorized by the new policy when it is resumed.
    fn configs_for_policy<I: Send + Sync + 'static>(
        _: &ServerTemplate,
        _: &InForce<I>,
    ) -> Option<ServerConfigs> {
        None
    }

    fn own_certificates(template: &ServerTemplate) -> Vec<(Option<String>, Certificate)> {
        template.own_certificates()
    }
}

impl TlsRole for ClientSide {
    const SIDE: Side = Side::Client;
    const RECONNECTS_WITH_NEW_CREDENTIALS: bool = true;

    type Template = ClientTemplate;
    type Configs = ClientConfigs;

    fn server_names(&self) -> ServerNameVerification {
        self.server_names
    }

    fn template<I: Send + Sync + 'static>(
        self,
        in_force: &InForce<I>,
        _: &Trust,
        credentials: &Credentials,
        common: Common,
    ) -> Result<ClientTemplate, BuildError> {
        let customize = self.customize.unwrap_or_else(|| Box::new(|_| ()));
        ClientTemplate::new(in_force, credentials, common, customize)
    }

    fn with_credentials(
        template: &ClientTemplate,
        default: Option<Credentials>,
        mut named: Vec<(String, Credentials)>,
    ) -> Result<ClientTemplate, BuildError> {
        if let Some((name, _)) = named.pop() {
            return Err(BuildError::NamedByClient { name });
        }
        template.with_credentials(default)
    }

    fn configs<I: Send + Sync + 'static>(
        template: &ClientTemplate,
        in_force: &InForce<I>,
        _: &Trust,
    ) -> Result<ClientConfigs, BuildError> {
        template.configs(in_force)
    }

    /// Configurations without the sessions that servers granted before. The same parts have built
    /// configurations before; if they do not now, the sessions stay, and each is authorized by the new
    /// policy.
    fn configs_for_policy<I: Send + Sync + 'static>(
        template: &ClientTemplate,
        in_force: &InForce<I>,
    ) -> Option<ClientConfigs> {
        template.configs(in_force).ok()
    }

    fn own_certificates(template: &ClientTemplate) -> Vec<(Option<String>, Certificate)> {
        template.own_certificates()
    }
}

impl fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("named", &self.named)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_names", &self.server_names)
            .finish_non_exhaustive()
    }
}

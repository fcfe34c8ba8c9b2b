//! Other people's TLS clients, which call a server and say what came of it.

pub(crate) mod alerts;
mod commands;
pub(crate) mod normal;
mod ours;
mod proxied;
mod scripted;

use std::path::Path;
use std::time::Duration;

use scripted::Scripted;
use support::interop::{Files, Tls};
use support::programs::{in_ci, is_there};
use support::proxies::Proxy;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    Ours,
    Curl,
    OpenSsl,
    Python,
    Java,
    Go,
    Node,
    GnuTls,
    Nginx,
    Haproxy,
}

pub(crate) const PROGRAMS: [Program; 10] = [
    Program::Ours,
    Program::Curl,
    Program::OpenSsl,
    Program::Python,
    Program::Java,
    Program::Go,
    Program::Node,
    Program::GnuTls,
    Program::Nginx,
    Program::Haproxy,
];

impl Program {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "our own `Connector`",
            Self::Curl => "curl",
            Self::OpenSsl => "openssl s_client",
            Self::Python => "Python http.client",
            Self::Java => "Java HttpsURLConnection",
            Self::Go => "Go net/http",
            Self::Node => "Node https",
            Self::GnuTls => "gnutls-cli",
            Self::Nginx => "nginx, its log",
            Self::Haproxy => "HAProxy, `ssl_bc_err_str`",
        }
    }

    const fn as_proxy(self) -> Option<Proxy> {
        match self {
            Self::Nginx => Some(Proxy::Nginx),
            Self::Haproxy => Some(Proxy::Haproxy),
            _ => None,
        }
    }

    const fn version_command(self) -> &'static [&'static str] {
        match self {
            Self::Ours => &[],
            Self::Curl => &["curl", "--version"],
            Self::OpenSsl => &["openssl", "version"],
            Self::Python => &[
                "python3",
                "-c",
                "import ssl, sys; print(sys.version.split()[0], 'with', ssl.OPENSSL_VERSION)",
            ],
            // It is the compiler that a JRE lacks.
            Self::Java => &["javac", "--version"],
            Self::Go => &["go", "version"],
            Self::Node => &[
                "node",
                "-p",
                "`${process.version} with OpenSSL ${process.versions.openssl}`",
            ],
            Self::GnuTls => &["gnutls-cli", "--version"],
            Self::Nginx => &["nginx", "-v"],
            Self::Haproxy => &["haproxy", "-v"],
        }
    }

    /// What it says its version is, where it is there to test against.
    pub(crate) fn version(self) -> Option<String> {
        let [program, arguments @ ..] = self.version_command() else {
            return Some(own_version());
        };
        let path = match self.as_proxy() {
            Some(proxy) => proxy.path().unwrap_or_default(),
            None => program.into(),
        };
        let output = std::process::Command::new(path).args(arguments).output();
        let output = output.ok().filter(|output| output.status.success());
        is_there(output.is_some(), program, in_ci()).then_some(())?;
        let output = output?;
        // nginx says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        Some(normal::version(
            String::from_utf8_lossy(&said).lines().next()?,
        ))
    }
}

/// The library's, which the page of the manual names.
fn own_version() -> String {
    let manifest = include_str!("../../../Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.expect("the package has a version").into()
}

/// What a caller speaks to a port that wants TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Tls,
    /// TLS 1.2 without extended master secret (RFC 7627).
    TlsWithoutEms,
    /// TLS 1.2 with RSA key exchange only, which has no forward secrecy.
    TlsByRsa,
    /// TLS with an application protocol (ALPN) that no side has.
    TlsWithUnknownAlpn,
    PlainHttp,
    /// SMTP, where the server begins.
    Smtp,
}

impl Speaks {
    pub(crate) fn is_tls(self) -> bool {
        !matches!(self, Self::PlainHttp | Self::Smtp)
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::PlainHttp => "http",
            Self::Smtp => "smtp",
            _ => "https",
        }
    }

    /// What it sends, if it is first to speak and no TLS.
    pub(crate) const fn first_words(self) -> Option<&'static [u8]> {
        match self {
            Self::PlainHttp => Some(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            _ => None,
        }
    }
}

/// What a caller is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    /// `localhost` or an address.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) speaks: Speaks,
    /// Whom it believes.
    pub(crate) ca: &'a Path,
    /// The client's certificate, if any.
    pub(crate) files: Option<&'a Files>,
    pub(crate) tls: Tls,
    /// How long it waits for an answer, if that is the question.
    pub(crate) wait: Option<Duration>,
}

impl Order<'_> {
    fn url(&self) -> String {
        format!("{}://{}:{}/", self.speaks.scheme(), self.host, self.port)
    }

    fn wait(&self) -> Duration {
        self.wait.unwrap_or(Duration::from_secs(30))
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Page(String),
    /// The line, or the lines, by which the program says what is wrong; without what differs from
    /// one run to the next.
    Error(String),
}

impl Answer {
    pub(crate) fn error(self) -> String {
        match self {
            Self::Page(page) => panic!("the client was refused and got {page}"),
            Self::Error(error) => error,
        }
    }
}

/// A program that is ready to call.
pub(crate) struct Caller {
    program: Program,
    pub(crate) version: String,
    scripted: Option<Scripted>,
}

impl Caller {
    /// Starts it, where it is there to test against.
    pub(crate) async fn start(program: Program) -> Option<Self> {
        Some(Self {
            program,
            version: program.version()?,
            scripted: Scripted::start(program).await,
        })
    }

    /// Whether it can speak TLS 1.2 as we do. Go has extended master secret since 1.21.
    pub(crate) fn has_ems(&self) -> bool {
        let minor = || self.version.split('.').nth(1)?.parse::<u32>().ok();
        self.program != Program::Go || minor().is_some_and(|minor| minor >= 21)
    }

    fn can(&self, order: Order<'_>) -> bool {
        use Program as P;

        let is_one_of = |programs: &[Program]| programs.contains(&self.program);
        let speaks = match (order.speaks, order.tls) {
            (Speaks::Tls, Tls::V12) => self.has_ems(),
            (Speaks::Tls, Tls::V13) => true,
            (Speaks::TlsWithoutEms, _) => !self.has_ems() || is_one_of(&[P::GnuTls]),
            (Speaks::TlsByRsa, _) => is_one_of(&[P::Curl, P::OpenSsl, P::GnuTls]),
            (Speaks::TlsWithUnknownAlpn, _) => is_one_of(&[P::OpenSsl, P::GnuTls]),
            (Speaks::PlainHttp, _) => self.scripted.is_some() || is_one_of(&[P::Curl, P::Nginx]),
            (Speaks::Smtp, _) => is_one_of(&[P::Curl]),
        };
        // The others wait indefinitely or long, or (Node) have no message of their own for it.
        let gives_up = is_one_of(&[P::Ours, P::Curl, P::Python, P::Java, P::Go]);
        speaks && (order.wait.is_none() || gives_up)
    }

    /// What came of a call; `None` when the program has no way to do this.
    pub(crate) async fn call(&mut self, order: Order<'_>) -> Option<Answer> {
        if !self.can(order) {
            return None;
        }
        let answer = match (&mut self.scripted, self.program) {
            (Some(scripted), _) => scripted.call(order).await,
            (None, Program::Ours) => ours::connector(order, order.files?).await?,
            (None, Program::Curl) => commands::curl(order).await,
            (None, Program::OpenSsl) => commands::openssl(order).await,
            (None, Program::Nginx) => proxied::nginx(order).await,
            (None, Program::Haproxy) => proxied::haproxy(order).await,
            (None, _) => commands::gnutls(order).await,
        };
        // Shown when the test fails.
        eprintln!("{}, {:?}: {answer:?}", self.program.name(), order.tls);
        Some(match answer {
            Answer::Error(text) => Answer::Error(normal::error(&text, order.port)),
            page => page,
        })
    }
}

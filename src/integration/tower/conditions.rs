//! Conditions on the headers of a request, and checks of the application.

use std::borrow::Cow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use http::HeaderName;
use http::header::HeaderMap;
use http::request::Parts;

use super::RuleError;
use super::mcp::McpRequest;
use crate::pki::text::Escaped;

/// Conditions on the headers of a request, for [`RequestRules::allow_if`](super::RequestRules::allow_if).
///
/// A request meets them if it meets all of them. Without any, every request does.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::{Conditions, RequestRules};
/// use countersign::policy;
/// use http::Method;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agents = || policy::spiffe_patterns(["spiffe://example.org/agents/*"]);
/// let discovery = Conditions::new().mcp_methods(["server/discover", "tools/list"]);
/// let search = Conditions::new().mcp_tools(["search", "read_file"]);
/// let rules = RequestRules::<SpiffeId>::new()
///     .allow_if("discover", agents()?, [Method::POST], "/mcp", discovery)?
///     .allow_if("search", agents()?, [Method::POST], "/mcp", search)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    headers: Vec<(HeaderName, Vec<String>)>,
    mcp: Option<McpConditions>,
    checks: Vec<Check>,
}

/// A check that panicked is asked again for the next request, as a policy is.
#[derive(Clone)]
struct Check(Arc<AssertUnwindSafe<Box<CheckFn>>>);

type CheckFn = dyn Fn(&Parts) -> Result<(), Cow<'static, str>> + Send + Sync;

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

#[derive(Clone, Debug, Default)]
struct McpConditions {
    methods: Vec<String>,
    tools: Vec<String>,
}

impl Conditions {
    /// No condition.
    pub fn new() -> Self {
        Self::default()
    }

    /// The request has this header exactly once, with one of these values, byte for byte.
    ///
    /// A header that is missing or that occurs twice does not meet the condition. Values are compared
    /// whole: `a, b` is not `a`.
    ///
    /// # Errors
    /// [`RuleError::Header`]: a name that is no header name (`X Tenant`), or no value.
    ///
    /// # Security
    /// The client chooses its headers. A header restricts a peer only if the code behind the layer acts on
    /// the same header.
    pub fn header<V: Into<String>>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, RuleError> {
        let error = |problem| RuleError::Header {
            name: name.to_owned(),
            problem,
        };
        let parsed = HeaderName::try_from(name).map_err(|_| error("it is no header name"))?;
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        if values.is_empty() {
            return Err(error("it has no value, so the rule would allow nothing"));
        }
        self.headers.push((parsed, values));
        Ok(self)
    }

    /// The request calls one of these tools of a server of the Model Context Protocol (MCP): its
    /// `Mcp-Method` is `tools/call`, and its `Mcp-Name` is in the list, in the same case.
    ///
    /// With [`mcp_methods`](Self::mcp_methods), a request meets the condition if it calls one of the
    /// tools, or if it has one of the methods.
    ///
    /// # Security
    /// The client chooses these headers, and the tool is called by the *body*. A server of the protocol's
    /// revision 2026-07-28 or later must reject a request whose headers contradict its body; earlier
    /// revisions have no such headers. A request meets the condition only if it has `MCP-Protocol-Version`
    /// exactly once with a date from 2026-07-28 on. The server behind the layer must enforce the rule for
    /// the versions that it accepts: `rmcp` 3 does.
    #[must_use]
    pub fn mcp_tools<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let mcp = self.mcp.get_or_insert_default();
        mcp.tools.extend(names.into_iter().map(Into::into));
        self
    }

    /// The request has one of these methods of the Model Context Protocol in its `Mcp-Method` header, for
    /// any name. Examples are `server/discover`, `tools/list` and `notifications/cancelled`.
    ///
    /// `tools/call` allows every tool: for some of them, use [`mcp_tools`](Self::mcp_tools), which also
    /// says what is required of the request and of the server.
    #[must_use]
    pub fn mcp_methods<N: Into<String>>(mut self, methods: impl IntoIterator<Item = N>) -> Self {
        let mcp = self.mcp.get_or_insert_default();
        mcp.methods.extend(methods.into_iter().map(Into::into));
        self
    }

    /// The request passes this check of your own. The error of the check is the reason of the denial, in the
    /// audit trail and in [`Denied::why`](super::Denied::why).
    ///
    /// The check runs for each request of the rule's methods and paths, on the request's task, so it must not
    /// block. It sees the head of the request and its extensions, in which an outer layer can put what it has
    /// read elsewhere, such as a field of the body.
    ///
    /// ```
    /// use countersign::identity::SpiffeId;
    /// use countersign::integration::tower::{Conditions, RequestRules};
    /// use countersign::policy;
    /// use http::Method;
    ///
    /// /// What an outer layer has read from the body.
    /// #[derive(Clone)]
    /// struct Model(String);
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let small = Conditions::new().check(|request| match request.extensions.get::<Model>() {
    ///     Some(Model(model)) if model == "small" => Ok(()),
    ///     Some(Model(model)) => Err(format!("the model is {model:?}").into()),
    ///     None => Err("the body was not read".into()),
    /// });
    /// let rules = RequestRules::<SpiffeId>::new()
    ///     .allow_if("chat", policy::allow_any(), [Method::POST], "/v1/chat", small)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Security
    /// Let the check deny where it does not know. A request is denied if the check panics.
    #[must_use]
    pub fn check(
        mut self,
        check: impl Fn(&Parts) -> Result<(), Cow<'static, str>> + Send + Sync + 'static,
    ) -> Self {
        self.checks
            .push(Check(Arc::new(AssertUnwindSafe(Box::new(check)))));
        self
    }

    /// Why a request does not meet them.
    pub(super) fn unmet(&self, request: &Parts) -> Option<Cow<'static, str>> {
        let headers = &request.headers;
        for (name, allowed) in &self.headers {
            let value = match single(headers, name.as_str()) {
                Ok(value) => value,
                Err(problem) => return Some(format!("the header {name} {problem}").into()),
            };
            let is_allowed = |allowed: &String| allowed.as_bytes() == value;
            if !allowed.iter().any(is_allowed) {
                let value = String::from_utf8_lossy(value);
                let value = Escaped(&value);
                return Some(format!("the header {name} is \"{value}\"").into());
            }
        }
        let mcp = self.mcp.as_ref().and_then(|mcp| mcp.unmet(headers));
        mcp.or_else(|| {
            self.checks
                .iter()
                .find_map(|check| (check.0)(request).err())
        })
    }
}

impl McpConditions {
    fn unmet(&self, headers: &HeaderMap) -> Option<Cow<'static, str>> {
        let request = match McpRequest::of(headers) {
            Ok(request) => request,
            Err(problem) => return Some(problem.into()),
        };
        if self.methods.contains(&request.method) {
            return None;
        }
        match &request.name {
            _ if request.method != "tools/call" => {
                Some(format!("the MCP method is \"{}\"", Escaped(&request.method)).into())
            }
            Some(tool) if self.tools.contains(tool) => None,
            Some(tool) => Some(format!("the MCP tool is \"{}\"", Escaped(tool)).into()),
            None => Some("the request names no MCP tool (no Mcp-Name header)".into()),
        }
    }
}

/// The only value of a header.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], SingleError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        (None, _) => Err(SingleError::Missing),
        (Some(_), Some(_)) => Err(SingleError::Repeated),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SingleError {
    Missing,
    Repeated,
}

impl fmt::Display for SingleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Repeated => "occurs more than once",
        })
    }
}

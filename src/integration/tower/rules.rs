//! Rules by method, path and headers.

use std::borrow::Cow;
use std::fmt;

use http::Method;
use http::request::Parts;

use super::path::{folded, spellings, unclear, unclear_segment};
use super::{Conditions, RequestPolicy};
use crate::diagnostic::display_diagnostic;
use crate::pki::text::Escaped;
use crate::{Decision, Diagnostic, Peer, Policy};

/// Rules for requests by method and path, and by [headers](Conditions).
///
/// Each rule has the peers that it allows (any [`Policy`]: a closure, a set, patterns), methods, and a path
/// pattern. Requests without an allowing rule are denied. `HEAD` is a separate method, although axum
/// answers it by the handler of `GET`: see [`head_follows_get`](Self::head_follows_get).
///
/// Path patterns are those of axum: `/v1/invoices` is one path, `{name}` matches one segment, `{*name}` at
/// the end matches one or more. As in axum's router, only the most specific matching pattern counts: with
/// rules for `/v1/{*rest}` and for `/v1/admin`, the rules of `/v1/{*rest}` do not apply to `/v1/admin`.
///
/// # Security
/// A path is allowed only if every server interprets it in the same way. These are denied without regard
/// to the rules:
///
/// * empty segments (`//`, a slash at the end), `.` and `..`, segments that end with a dot or a space;
/// * `;`, `\`, control characters and characters outside ASCII, encoded or not;
/// * a percent-encoded letter, digit, `-`, `.`, `_`, `~`, `/`, `\`, `%`, `;`, `?` or `#`;
/// * a path that matches another pattern when it is decoded or in lower case (`/v1/Admin` beside
///   `/v1/admin` and `/v1/{name}`).
///
/// The query is ignored. Code behind the layer must not change the method or the path (by
/// `X-HTTP-Method-Override`, or by a rewrite).
///
/// In a nested axum router, the path has no prefix: put the layer around the whole router, and write
/// whole paths.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::integration::tower::RequestRules;
/// use countersign::policy;
/// use http::Method;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rules = RequestRules::<DnsName>::new()
///     .allow("billing", policy::exact(["billing.example".parse()?]), [Method::POST], "/v1/invoices")?
///     .allow("support", policy::exact(["support.example".parse()?]), [Method::GET], "/v1/invoices/{id}")?
///     .allow("health", policy::allow_any(), [Method::GET, Method::HEAD], "/healthz")?;
/// # Ok(())
/// # }
/// ```
pub struct RequestRules<I> {
    patterns: Vec<Pattern<I>>,
    /// The number of the pattern that a path matches.
    as_written: matchit::Router<usize>,
    /// The same, for paths and patterns in lower case.
    folded: matchit::Router<usize>,
    head_follows_get: bool,
}

/// The rules of one pattern.
struct Pattern<I> {
    text: String,
    /// The same without the names of its parameters.
    shape: String,
    rules: Vec<Rule<I>>,
}

struct Rule<I> {
    name: Cow<'static, str>,
    who: Box<dyn Policy<I>>,
    methods: Vec<Method>,
    conditions: Conditions,
}

impl<I> RequestRules<I> {
    /// Without rules: every request is denied.
    pub fn new() -> Self {
        Self {
            patterns: Vec::new(),
            as_written: matchit::Router::new(),
            folded: matchit::Router::new(),
            head_follows_get: false,
        }
    }

    /// Rules for `GET` allow `HEAD` too. Default: they do not.
    #[must_use]
    pub const fn head_follows_get(mut self) -> Self {
        self.head_follows_get = true;
        self
    }

    /// Adds the rule of this name: it allows the peers that `who` allows to send requests of these methods
    /// to the paths of this pattern.
    ///
    /// # Errors
    /// [`RuleError`]: no method; a pattern such as `invoices` (no slash at the start), `/v1/` (a
    /// slash at the end), `/v1/*` (write `{*rest}`), `/v1/inv-{id}` (a parameter is a whole segment),
    /// `/v1/%69d`; one that differs from another in upper and lower case only; one that conflicts
    /// with another in axum's router (`/v1/{id}` and `/v1/{*rest}`).
    pub fn allow(
        self,
        name: impl Into<Cow<'static, str>>,
        who: impl Policy<I> + 'static,
        methods: impl IntoIterator<Item = Method>,
        pattern: &str,
    ) -> Result<Self, RuleError> {
        self.allow_if(name, who, methods, pattern, Conditions::new())
    }

    /// As [`allow`](Self::allow), for requests that meet these conditions on their headers. Rules of the
    /// same pattern without conditions still apply.
    ///
    /// # Errors
    /// As for [`allow`](Self::allow).
    pub fn allow_if(
        mut self,
        name: impl Into<Cow<'static, str>>,
        who: impl Policy<I> + 'static,
        methods: impl IntoIterator<Item = Method>,
        pattern: &str,
        conditions: Conditions,
    ) -> Result<Self, RuleError> {
        let rule = Rule {
            name: name.into(),
            who: Box::new(who),
            methods: methods.into_iter().collect(),
            conditions,
        };
        if rule.methods.is_empty() {
            return Err(RuleError::NoMethod { rule: rule.name });
        }
        let shape = shape_of(pattern)?;
        let known = self.patterns.iter().position(|known| known.shape == shape);
        let number = match known {
            Some(number) => number,
            None => self.add_pattern(pattern, shape)?,
        };
        self.patterns[number].rules.push(rule); // the number is an index of it
        Ok(self)
    }

    fn add_pattern(&mut self, pattern: &str, shape: String) -> Result<usize, RuleError> {
        let number = self.patterns.len();
        let conflict = |error: matchit::InsertError| RuleError::Conflict {
            pattern: pattern.to_owned(),
            error: error.to_string(),
        };
        self.as_written
            .insert(shape.clone(), number)
            .map_err(conflict)?;
        // Shapes have no other upper-case letters than the path's own.
        self.folded
            .insert(shape.to_ascii_lowercase(), number)
            .map_err(conflict)?;
        self.patterns.push(Pattern {
            text: pattern.to_owned(),
            shape,
            rules: Vec::new(),
        });
        Ok(number)
    }

    /// The pattern that a path matches in every interpretation.
    fn pattern_of(&self, path: &str) -> Result<&Pattern<I>, Cow<'static, str>> {
        if let Some(why) = unclear(path) {
            return Err(why.into());
        }
        let number = |found: Result<matchit::Match<'_, '_, &usize>, matchit::MatchError>| {
            found.ok().map(|found| *found.value)
        };
        let as_written = number(self.as_written.at(path));
        let folded = folded(path);
        // A server may fold the path, and compare it with patterns as they are written.
        let elsewhere = spellings(path, &folded)
            .filter_map(|spelling| number(self.as_written.at(&spelling)))
            .find(|other| Some(*other) != as_written);
        let folded = elsewhere.or_else(|| number(self.folded.at(&folded)));
        match (as_written, folded) {
            (None, _) => Err("no rule is for this path".into()),
            (Some(number), Some(folded)) if number == folded => Ok(&self.patterns[number]),
            (Some(number), folded) => Err(format!(
                "the path matches {:?} as it is, and {:?} decoded or in lower case",
                self.patterns[number].text,
                folded.map(|number| &*self.patterns[number].text)
            )
            .into()),
        }
    }
}

/// The pattern with its parameters' names replaced, so that patterns that differ only in names are equal.
fn shape_of(pattern: &str) -> Result<String, RuleError> {
    let invalid = |problem, remedy| RuleError::Pattern {
        pattern: pattern.to_owned(),
        problem,
        remedy,
    };
    let Some(rest) = pattern.strip_prefix('/') else {
        return Err(invalid(
            "it does not begin with a slash",
            "write a slash at its start",
        ));
    };
    if rest.is_empty() {
        return Ok(pattern.to_owned());
    }
    let mut shape = String::with_capacity(pattern.len());
    let mut segments = rest.split('/').enumerate().peekable();
    while let Some((index, segment)) = segments.next() {
        let parameter = segment
            .strip_prefix('{')
            .and_then(|segment| segment.strip_suffix('}'));
        let (catches_all, name) = match parameter {
            None if segment.contains(['{', '}']) => {
                return Err(invalid(
                    "a parameter is only a part of its segment",
                    "make each parameter a whole segment, such as {id}",
                ));
            }
            None if segment.contains('*') => {
                return Err(invalid(
                    "* is no wildcard",
                    "write {name} for one segment, or {*name} for all segments that follow",
                ));
            }
            None if segment.contains('%') || unclear_segment(segment).is_some() => {
                return Err(invalid(
                    "no request can match it, because such a path is denied without regard to the rules",
                    "write the path decoded, without empty segments, and without a dot or a space at the end of a segment",
                ));
            }
            None => {
                shape.push('/');
                shape.push_str(segment);
                continue;
            }
            Some(name) => match name.strip_prefix('*') {
                None => (false, name),
                Some(name) => (true, name),
            },
        };
        if name.is_empty() || name.contains(['{', '}', '*']) {
            return Err(invalid(
                "a parameter has no name",
                "name each parameter, such as {id} or {*rest}",
            ));
        }
        if catches_all && segments.peek().is_some() {
            return Err(invalid(
                "segments follow {*name}",
                "write {*name} at the end",
            ));
        }
        let star = if catches_all { "*" } else { "" };
        shape.push_str(&format!("/{{{star}p{index}}}"));
    }
    Ok(shape)
}

impl<I> RequestPolicy<I> for RequestRules<I> {
    fn authorize(&self, peer: &Peer<I>, request: &Parts) -> Decision {
        let pattern = match self.pattern_of(request.uri.path()) {
            Ok(pattern) => pattern,
            Err(why) => return Decision::deny(why),
        };
        let mut reasons = String::new();
        let mut add = |rule: &Rule<I>, reason: &str| {
            let separator = if reasons.is_empty() { "" } else { ", " };
            reasons.push_str(&format!("{separator}rule {:?}: {reason}", rule.name));
        };
        for rule in &pattern.rules {
            let allows = |method: &Method| rule.methods.contains(method);
            let is_head = self.head_follows_get && request.method == Method::HEAD;
            if !(allows(&request.method) || is_head && allows(&Method::GET)) {
                continue;
            }
            if let Some(unmet) = rule.conditions.unmet(request) {
                add(rule, &unmet);
                continue;
            }
            let decision = rule.who.authorize(peer);
            match decision.reason() {
                None => return Decision::allow(rule.name.clone()),
                Some(reason) => add(rule, reason),
            }
        }
        if reasons.is_empty() {
            reasons = format!("no rule of {:?} is for {}", pattern.text, request.method);
        }
        Decision::deny(reasons)
    }
}

/// Why a rule is invalid.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::identity::DnsName;
/// use countersign::integration::tower::RequestRules;
/// use countersign::policy;
/// use http::Method;
///
/// let rules = RequestRules::<DnsName>::new();
/// let error = rules
///     .allow("read", policy::allow_any(), [Method::GET], "v1/invoices")
///     .unwrap_err();
/// assert_eq!(error.reason(), "invalid_pattern");
/// assert_eq!(error.remedy(), "write a slash at its start");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The rule has no method, so it would allow nothing.
    NoMethod {
        /// The name of the rule.
        rule: Cow<'static, str>,
    },
    /// A condition on a header is invalid.
    Header {
        /// The name of the header.
        name: String,
        /// What is wrong with the condition.
        problem: &'static str,
    },
    /// The pattern is malformed.
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What to write instead.
        remedy: &'static str,
    },
    /// The pattern conflicts with another.
    Conflict {
        /// The pattern.
        pattern: String,
        /// The error of the router.
        error: String,
    },
}

impl Diagnostic for RuleError {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoMethod { .. } => "rule_without_method",
            Self::Header { .. } => "invalid_header_condition",
            Self::Pattern { .. } => "invalid_pattern",
            Self::Conflict { .. } => "conflicting_pattern",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NoMethod { rule } => format!(
                "the rule \"{}\" has no method, so it would allow nothing",
                Escaped(rule)
            ),
            Self::Header { name, problem } => {
                format!("the condition on the header \"{}\": {problem}", Escaped(name))
            }
            Self::Pattern {
                pattern, problem, ..
            } => format!("the path pattern \"{}\": {problem}", Escaped(pattern)),
            Self::Conflict { pattern, error } => format!(
                "the path pattern \"{}\" conflicts with another one (also compared in lower case): {error}",
                Escaped(pattern)
            ),
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NoMethod { .. } => "give it at least one method",
            Self::Header { .. } => "write a header name such as x-tenant, and at least one value",
            Self::Pattern { remedy, .. } => remedy,
            Self::Conflict { .. } => {
                "remove one of them, or make them differ in more than case and kinds of parameters"
            }
        }
        .into()
    }
}

display_diagnostic!(RuleError);

impl<I> Default for RequestRules<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I> fmt::Debug for RequestRules<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.patterns.iter().map(|pattern| {
                let names = pattern.rules.iter().map(|rule| &*rule.name);
                (&*pattern.text, names.collect::<Vec<_>>())
            }))
            .finish()
    }
}

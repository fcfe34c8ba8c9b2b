//! Explanations of decisions, for operators.

use std::borrow::Cow;
use std::fmt;

use super::{Decision, Policy};
use crate::Peer;
use crate::pki::contained::caught;
use crate::pki::text::{Escaped, Sentence};

/// Explains why `policy` allows or denies `peer`: the rules that it is made of, with each one's decision.
///
/// For tests and for operators; connections do not use it. It runs every rule, also those that a decision
/// would skip. A panic is shown and counts as a denial.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::{policy, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let root: DnsName = "example.org".parse()?;
/// let policy = policy::any_of((
///     policy::exact([root]).named("the site itself"),
///     policy::dns_patterns(["*.workers.example.org"])?,
/// ));
///
/// let peer = testing::peer("one.workers.example.org".parse::<DnsName>()?);
/// let explanation = policy::explain(&policy, &peer);
/// assert_eq!(explanation.decision().rule(), Some("*.workers.example.org"));
/// println!("{explanation}"); // a tree, over several lines
/// # Ok(())
/// # }
/// ```
pub fn explain<I>(policy: &(impl Policy<I> + ?Sized), peer: &Peer<I>) -> Explanation {
    caught(|| policy.explain(peer)).unwrap_or_else(|| Explanation {
        panicked: true,
        ..Explanation::of(Decision::deny("the policy panicked"))
    })
}

/// Why a peer is allowed or denied. Made by [`explain`].
///
/// `Display` prints a tree with a line for each rule. A policy of your own makes one in
/// [`Policy::explain`]:
///
/// ```
/// use countersign::policy::{Explanation, explain};
/// use countersign::{Decision, Peer, Policy};
///
/// struct Logged<P>(P);
///
/// impl<I, P: Policy<I>> Policy<I> for Logged<P> {
///     fn authorize(&self, peer: &Peer<I>) -> Decision {
///         println!("a peer from {:?}", peer.connection().remote_addr());
///         self.0.authorize(peer)
///     }
///
///     fn explain(&self, peer: &Peer<I>) -> Explanation {
///         let part = explain(&self.0, peer);
///         Explanation::of(part.decision().clone())
///             .by("logged")
///             .with_part(part)
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    decision: Decision,
    panicked: bool,
    by: Cow<'static, str>,
    /// Printed in place of the decision's text, where the parts contain that.
    instead: Option<Cow<'static, str>>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    role: Role,
    explanation: Explanation,
}

/// What a decision means to the policy that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The decision of a rule.
    Rule,
    /// An allowing decision counts against the peer.
    Negated,
    /// An allowing decision means that the peer is on a deny list.
    DenyList,
    /// Decides about the peers that are not on the list.
    Then,
    /// In force beside a candidate.
    Enforced,
    /// Without effect.
    Candidate,
}

impl Explanation {
    /// An explanation without parts.
    pub fn of(decision: Decision) -> Self {
        Self {
            decision,
            panicked: false,
            by: Cow::Borrowed(""),
            instead: None,
            parts: Vec::new(),
        }
    }

    /// Sets the kind of policy that decided, such as `any_of`.
    #[must_use]
    pub fn by(mut self, policy: impl Into<Cow<'static, str>>) -> Self {
        self.by = policy.into();
        self
    }

    /// Adds the explanation of a policy that took part in the decision.
    #[must_use]
    pub fn with_part(self, part: Self) -> Self {
        self.with_role(Role::Rule, part)
    }

    /// The decision.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Whether the peer may connect.
    pub const fn is_allowed(&self) -> bool {
        self.decision.is_allowed()
    }

    /// Whether the peer is denied because a policy panicked.
    pub const fn is_panic(&self) -> bool {
        self.panicked
    }

    /// The explanations of the policies that took part, in order.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &Self> {
        self.parts.iter().map(|part| &part.explanation)
    }

    /// The same decision, for a policy that leaves it to this part.
    pub(super) fn same_as(part: &Self) -> Self {
        Self {
            panicked: part.panicked,
            ..Self::of(part.decision.clone())
        }
    }

    pub(super) fn with_role(mut self, role: Role, explanation: Self) -> Self {
        self.parts.push(Part { role, explanation });
        self
    }

    pub(super) fn with_rules(mut self, parts: Vec<Self>) -> Self {
        let rule = |explanation| Part {
            role: Role::Rule,
            explanation,
        };
        self.parts.extend(parts.into_iter().map(rule));
        self
    }

    pub(super) fn shown_as(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.instead = Some(text.into());
        self
    }

    /// One line: the decision, the policy and the reason. Where an allowing decision counts against the
    /// peer, it is printed as a match.
    fn headline(&self, f: &mut fmt::Formatter<'_>, negated: bool) -> fmt::Result {
        f.write_str(match (self.panicked, self.is_allowed(), negated) {
            (true, ..) => "panicked",
            (_, true, false) => "allowed",
            (_, false, false) => "denied",
            (_, true, true) => "matched",
            (_, false, true) => "no match",
        })?;
        if !self.by.is_empty() {
            write!(f, " by {}", Escaped(&self.by))?;
        }
        match (&self.instead, self.decision.rule(), self.decision.reason()) {
            (Some(text), ..) => write!(f, ": {}", Sentence(text)),
            (_, Some(rule), _) => write!(f, ": rule \"{}\"", Escaped(rule)),
            (.., Some(_)) if self.panicked => f.write_str(": see its panic message"),
            (.., reason) => write!(f, ": {}", Sentence(reason.unwrap_or_default())),
        }
    }

    fn tree(&self, f: &mut fmt::Formatter<'_>, indent: &str, negated: bool) -> fmt::Result {
        self.headline(f, negated)?;
        for (number, part) in self.parts.iter().enumerate() {
            let (branch, below) = if number + 1 == self.parts.len() {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            write!(f, "\n{indent}{branch}{}", part.role.lead())?;
            part.explanation.tree(
                f,
                &format!("{indent}{below}"),
                negated || part.role.is_negated(),
            )?;
        }
        Ok(())
    }
}

impl Role {
    const fn lead(self) -> &'static str {
        match self {
            Self::Rule | Self::Negated => "",
            Self::DenyList => "deny list: ",
            Self::Then => "otherwise: ",
            Self::Enforced => "enforced: ",
            Self::Candidate => "candidate, not enforced: ",
        }
    }

    const fn is_negated(self) -> bool {
        matches!(self, Self::Negated | Self::DenyList)
    }
}

impl fmt::Display for Explanation {
    /// A line for each rule, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree(f, "", false)
    }
}

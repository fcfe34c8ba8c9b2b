//! Truth tables of the combinators, with panics as a third value.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;

use countersign::policy::{self, Explanation, Policy};
use countersign::{Decision, Peer, testing};

/// What a policy may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Panic,
}

use Answer::{No, Panic, Yes};

const ALL: [Answer; 3] = [Yes, No, Panic];

static PEER: LazyLock<Peer<()>> = LazyLock::new(|| testing::peer(()));

/// A policy with this answer and name.
fn says(answer: Answer, name: &'static str) -> impl Policy<()> + 'static {
    move |_: &Peer<()>| match answer {
        Yes => Decision::allow(name),
        No => Decision::deny(format!("not {name}")),
        Panic => resume_unwind(Box::new(name)), // a panic without a message
    }
}

/// The outcome at the gate. The explanation must agree.
fn ask(policy: &dyn Policy<()>) -> (Answer, String) {
    let decision = catch_unwind(AssertUnwindSafe(|| policy.authorize(&PEER))).ok();
    let explanation = policy::explain(policy, &PEER);
    match decision {
        None => {
            assert!(explanation.is_panic() && !explanation.is_allowed());
            (Panic, String::new())
        }
        Some(decision) => {
            assert_eq!(explanation.decision(), &decision);
            assert!(!explanation.is_panic());
            let text = decision
                .rule()
                .or_else(|| decision.reason())
                .expect("a rule or a reason")
                .to_owned();
            (if decision.is_allowed() { Yes } else { No }, text)
        }
    }
}

#[test]
fn any_of_two() {
    for first in ALL {
        for second in ALL {
            let (answer, text) = ask(&policy::any_of((says(first, "a"), says(second, "b"))));
            let (expected, why) = match (first, second) {
                (Panic, _) | (No, Panic) => (Panic, ""),
                (Yes, _) => (Yes, "a"),
                (No, Yes) => (Yes, "b"),
                (No, No) => (No, "none of 2 rules allows: not a; not b"),
            };
            assert_eq!((answer, &*text), (expected, why), "{first:?} {second:?}");
        }
    }
}

#[test]
fn all_of_two() {
    for first in ALL {
        for second in ALL {
            let (answer, text) = ask(&policy::all_of((says(first, "a"), says(second, "b"))));
            let (expected, why) = match (first, second) {
                (Panic, _) | (Yes, Panic) => (Panic, ""),
                (No, _) => (No, "not a"),
                (Yes, No) => (No, "not b"),
                (Yes, Yes) => (Yes, "a and b"),
            };
            assert_eq!((answer, &*text), (expected, why), "{first:?} {second:?}");
        }
    }
}

#[test]
fn deny_first() {
    for list in ALL {
        for then in ALL {
            let (answer, text) = ask(&policy::deny_first(says(list, "listed"), says(then, "ok")));
            let (expected, why) = match (list, then) {
                (Panic, _) | (No, Panic) => (Panic, ""),
                (Yes, _) => (No, "on the deny list: listed"),
                (No, Yes) => (Yes, "ok"),
                (No, No) => (No, "not ok"),
            };
            assert_eq!((answer, &*text), (expected, why), "{list:?} {then:?}");
        }
    }
}

#[test]
fn not() {
    for (inner, expected, why) in [
        (Yes, No, "matches \"a\", which it must not"),
        (No, Yes, "not"),
        (Panic, Panic, ""),
    ] {
        let (answer, text) = ask(&policy::not(says(inner, "a")));
        assert_eq!((answer, &*text), (expected, why), "{inner:?}");
    }
    let (_, rule) = ask(&policy::not(says(No, "a")).named("no a"));
    assert_eq!(rule, "no a");
}

#[test]
fn an_empty_list_denies_every_peer() {
    let nothing = || Vec::<Box<dyn Policy<()>>>::new();
    for (policy, why) in [
        (
            ask(&policy::any_of(())),
            "any_of has no rule, so it denies every peer",
        ),
        (
            ask(&policy::any_of(nothing())),
            "any_of has no rule, so it denies every peer",
        ),
        (
            ask(&policy::all_of(())),
            "all_of has no rule, so it denies every peer",
        ),
        (
            ask(&policy::all_of(nothing())),
            "all_of has no rule, so it denies every peer",
        ),
    ] {
        assert_eq!(policy, (No, why.to_owned()));
    }
}

#[test]
fn one_policy_decides_alone() {
    assert_eq!(ask(&policy::any_of((says(Yes, "a"),))), (Yes, "a".into()));
    assert_eq!(ask(&policy::all_of([says(Yes, "a")])), (Yes, "a".into()));
    assert_eq!(ask(&policy::all_of((says(No, "a"),))), (No, "not a".into()));
    assert_eq!(
        ask(&policy::any_of([says(No, "a")])),
        (No, "none of 1 rules allows: not a".into())
    );
}

#[test]
fn many_and_long_reasons_are_shortened() {
    let long = "ü".repeat(200);
    let policies: Vec<_> = (0..7)
        .map(|number| {
            let reason = if number == 1 {
                long.clone()
            } else {
                number.to_string()
            };
            move |_: &Peer<()>| Decision::deny(reason.clone())
        })
        .collect();
    let (_, text) = ask(&policy::any_of(policies));
    assert_eq!(
        text,
        format!(
            "none of 7 rules allows: 0; {}…; 2; 3; and 3 more",
            "ü".repeat(120)
        )
    );
    let denies = ["a", "b", "c", "d"].map(|name| says(No, name));
    let (_, text) = ask(&policy::any_of(denies));
    let all = "none of 4 rules allows: not a; not b; not c; not d";
    assert_eq!(text, all, "no more than are shown");
}

/// For every tree of two levels, decision and explanation agree.
#[test]
fn nested_policies_agree_with_their_explanations() {
    let mut seen = [0; 3];
    for a in ALL {
        for b in ALL {
            for c in ALL {
                let pair = || (says(a, "a"), policy::not(says(b, "b")));
                for policy in [
                    Box::new(policy::any_of((policy::all_of(pair()), says(c, "c")))) as Box<_>,
                    Box::new(policy::all_of((policy::any_of(pair()), says(c, "c")))),
                    Box::new(policy::not(policy::any_of((
                        policy::all_of(pair()),
                        says(c, "c"),
                    )))),
                    Box::new(policy::deny_first(
                        policy::any_of(pair()),
                        policy::not(says(c, "c")),
                    )),
                    Box::new(policy::shadow(policy::all_of(pair()), says(c, "c"), |_| {
                        resume_unwind(Box::new("while recording"))
                    })),
                ] as [Box<dyn Policy<()>>; 5]
                {
                    seen[ask(&*policy).0 as usize] += 1;
                }
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 15), "{seen:?}");
}

/// A policy of the application can show its parts.
#[test]
fn an_explanation_of_your_own() {
    struct Weekdays<P>(P);

    impl<P: Policy<()>> Policy<()> for Weekdays<P> {
        fn authorize(&self, peer: &Peer<()>) -> Decision {
            self.0.authorize(peer)
        }

        fn explain(&self, peer: &Peer<()>) -> Explanation {
            Explanation::of(self.authorize(peer))
                .by("weekdays\u{202e}")
                .with_part(policy::explain(&self.0, peer))
        }
    }

    let explanation = policy::explain(&Weekdays(says(Yes, "a")), &PEER);
    assert_eq!(
        explanation.to_string(),
        "allowed by weekdays\\u{202e}: rule \"a\"\n└─ allowed: rule \"a\""
    );
    let parts: Vec<_> = explanation.parts().map(|part| part.decision()).collect();
    assert_eq!(parts, [&Decision::allow("a")]);
}

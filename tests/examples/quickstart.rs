//! `cargo run --example quickstart`.

use crate::example::example;
use crate::programs::run;

#[tokio::test]
async fn it_says_who_is_let_in_and_who_is_not_and_why() {
    let quickstart = run(&mut example("quickstart"), "").await;
    assert_eq!((quickstart.code, &*quickstart.stderr), (Some(0), ""));
    let stories: Vec<&str> = quickstart.stdout.split("\n\n").skip(2).collect();
    let [allowed, denied, unknown, next] = stories[..] else {
        panic!("{}", quickstart.stdout);
    };
    for (story, sentences) in [
        (
            allowed,
            [
                "1. A billing worker calls, with a certificate from \"Example CA\".",
                "the server logs:  let in spiffe://example.org/ns/billing/sa/worker by the rule \"billing\"\n",
                "the client sees:  hello spiffe://example.org/ns/billing/sa/worker\n",
                "=> LET IN: ",
            ],
        ),
        (
            denied,
            [
                "2. A shipping worker calls, with a certificate from \"Example CA\" too.",
                "the server logs:  refused (denied): denied by policy: only billing may call orders: ",
                "the client sees:  the server refused our certificate \"CN=shipping worker\": access_denied (its policy: ",
                "=> NOT LET IN: the certificate is trusted, but the policy denies its holder.",
            ],
        ),
        (
            unknown,
            [
                "3. An impostor calls itself the billing worker, with a certificate from \"Strange CA\".",
                "the server logs:  refused (unknown_issuer): unknown issuer: ",
                "the client sees:  the server refused our certificate \"CN=billing worker\": unknown_ca (issuer \"CN=Strange CA\" is not in the server's trust store, ",
                "=> NOT LET IN: nobody whom the server trusts vouches for that name.",
            ],
        ),
    ] {
        for sentence in sentences {
            assert!(story.contains(sentence), "{sentence}\nis not in\n{story}");
        }
    }
    assert!(next.starts_with("All three went as they should."), "{next}");
}

//! The examples that serve and call HTTP, run as a newcomer runs them.

use support::example::example;
use support::programs::run;

async fn said(name: &str) -> String {
    let finished = run(&mut example(name), "").await;
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""), "{name}");
    finished.stdout
}

#[tokio::test]
async fn axum_api() {
    let said = said("axum_api").await;
    let visits: Vec<&str> = said.split_inclusive("the client sees:  ").collect();
    assert_eq!(visits.len(), 7, "{said}");
    for (story, outcome) in [
        (
            "billing sends POST /v1/invoices\n",
            "200 invoice 7 made for spiffe://example.org/ns/billing/sa/worker",
        ),
        (
            "support sends GET /v1/invoices/7\n",
            "200 invoice 7 shown to spiffe://example.org/ns/support/sa/worker",
        ),
        (
            "support sends POST /v1/invoices\n   the server logs:  denied: rule \"billing\": ",
            "403 \n",
        ),
        (
            "shipping sends GET /v1/invoices/7\n   the server logs:  denied: rule \"support\": ",
            "403 \n",
        ),
        (
            "support sends GET /v1/invoices/%37\n   the server logs:  denied: the path has an encoded character",
            "403 \n",
        ),
        ("shipping sends GET /healthz\n", "200 well"),
    ] {
        let (_, after) = said.split_once(story).expect(story);
        let (_, seen) = after.split_once("the client sees:  ").unwrap();
        assert!(seen.starts_with(outcome), "{story}{seen}");
    }
}

#[tokio::test]
async fn reqwest_client() {
    assert_eq!(
        said("reqwest_client").await,
        "at first:             hello worker-1.example\n\
         with new credentials: hello worker-2.example\n\
         by another policy:    no: invalid peer certificate: ApplicationVerificationFailure\n"
    );
}

#[tokio::test]
async fn hot_reload() {
    let hello = "hello /ns/billing/worker (the server's certificate is number";
    assert_eq!(
        said("hot_reload").await,
        format!(
            "at first:               {hello} 01)\n\
             the open connection:    {hello} 01)\n\
             a new connection:       {hello} 02)\n\
             half a new certificate: key_mismatch\n\
             the server goes on:     {hello} 01)\n\
             billing is off the list: cut off, or not let in\n"
        )
    );
}

#[tokio::test]
async fn axum_server() {
    assert_eq!(
        said("axum_server").await,
        "alice.example: hello alice.example\neve.example: not let in\n"
    );
}

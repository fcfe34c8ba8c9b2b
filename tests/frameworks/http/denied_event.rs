//! What the log says of a denied request. Alone, because tracing caches who listens.

use std::sync::{Arc, Mutex};

use countersign::identity::DnsName;
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::{policy, testing};
use http::{Method, Request};
use tower::ServiceExt as _;
use tower_layer::Layer as _;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_event_names_the_rule_that_denied() {
    support::in_own_process!(an_event_names_the_rule_that_denied);
    let support = policy::exact(["support.example".parse().unwrap()]);
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let rules = RequestRules::new()
            .allow("support", support, [Method::GET], "/v1/invoices/{id}")
            .unwrap();
        let layer = AuthorizeRequest::<DnsName>::new(rules);
        let service = layer.layer(tower::service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
        }));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for (own, path) in [
            ("support.example", "/v1/invoices/7"), // allowed: no event
            ("eve.example", "/v1/invoices/7"),
        ] {
            let mut request = Request::get(path).body(()).unwrap();
            let own: DnsName = own.parse().unwrap();
            request.extensions_mut().insert(testing::peer(own));
            runtime.block_on(service.clone().oneshot(request)).unwrap();
        }
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [
        "WARN",
        "request denied",
        "method=GET",
        "path=/v1/invoices/7",
        "reason=\"denied\"",
        "why=rule \"support\": ",
        "certificate=",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

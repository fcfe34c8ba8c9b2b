//! What the gateway adds to the streams of an AI gateway.

use std::time::{Duration, Instant};

use hyper::body::Incoming;
use tokio::task::JoinSet;

use super::before_portkey;
use super::front::{JSON, Plain, chat, next};
use super::model::{Events, Model};

const STREAMS: usize = 200;
const ROUNDS: usize = 5;

/// The times from the model to the client, in order.
struct Times(Vec<Duration>);

impl Times {
    fn at(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }

    fn print(&self, name: &str) {
        println!(
            "{name:>24}: p50 {:>9.1?}  p99 {:>9.1?}",
            self.at(0.5),
            self.at(0.99)
        );
    }
}

/// Sends an event to each stream in turn, and each must arrive before the next is sent.
async fn events(streams: &mut [(Events, Incoming)]) -> Times {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        for (number, (events, body)) in streams.iter_mut().enumerate() {
            let text = format!("{round} of {number}");
            let sent = Instant::now();
            events.send(&text).await;
            let event = next(body).await.expect("an event");
            times.push(sent.elapsed());
            assert!(event.contains(&text), "{event}");
        }
    }
    times.sort();
    Times(times)
}

async fn finish(streams: Vec<(Events, Incoming)>) {
    for (events, mut body) in streams {
        let end = async { while next(&mut body).await.is_some() {} };
        tokio::join!(events.finish(), end);
    }
}

/// Opens all of them at once.
async fn open<F>(
    name: &str,
    model: &Model,
    call: impl Fn(String) -> F,
) -> (Duration, Vec<(Events, Incoming)>)
where
    F: Future<Output = hyper::Response<Incoming>> + Send + 'static,
{
    let began = Instant::now();
    let mut opening = JoinSet::new();
    for number in 0..STREAMS {
        let message = format!("{name} {number}");
        let response = call(chat("small", &message, true));
        let model = model.clone();
        opening.spawn(async move {
            let (events, mut body) = model.started(&message, response).await;
            assert!(next(&mut body).await.unwrap().contains("start"));
            (events, body)
        });
    }
    let streams = opening.join_all().await;
    (began.elapsed(), streams)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_streams_through_portkey() {
    let Some((portkey, model, mut front)) = before_portkey().await else {
        return;
    };
    // Portkey is told by the client what the gateway tells it otherwise.
    let url = format!("http://127.0.0.1:{}/v1/chat/completions", portkey.port);
    let host = format!("http://127.0.0.1:{}/v1", model.plain().await);
    let plain = Plain::new();
    let direct = |body: String| {
        let (plain, url, host) = (plain.clone(), url.clone(), host.clone());
        async move {
            let headers = [
                JSON,
                ("authorization", "Bearer sk-provider"),
                ("x-portkey-provider", "openai"),
                ("x-portkey-custom-host", &host),
            ];
            plain.open(&url, &headers, body).await
        }
    };
    let agent = front.agent("small", "h2");
    // The connection is there before the streams.
    let got = agent.post("/raw/any", &[JSON], "{}").await;
    assert_eq!(got.status, 200);
    front.line().await;
    let through = |body: String| {
        let agent = agent.clone();
        async move { agent.open("/v1/chat/completions", &[JSON], body).await }
    };

    let (opened_directly, mut streams) = open("direct", &model, direct).await;
    let directly = events(&mut streams).await;
    finish(streams).await;
    let (opened_through, mut streams) = open("gateway", &model, through).await;
    let through = events(&mut streams).await;
    // The lines are read all along, or the pipe is full and requests wait.
    let lines = async {
        for _ in 0..STREAMS {
            let line = front.line().await;
            assert_eq!(line["usage"], super::usage());
        }
    };
    tokio::join!(finish(streams), lines);

    println!("{STREAMS} concurrent streams, {ROUNDS} events on each, from the model to the client");
    println!(
        "opening all: {opened_directly:.1?} directly, {opened_through:.1?} through the gateway"
    );
    directly.print("Portkey alone");
    through.print("and the gateway before it");
    let added = |share| through.at(share).saturating_sub(directly.at(share));
    println!("added: p50 {:.1?}, p99 {:.1?}", added(0.5), added(0.99));
    // Far above what it takes, and far below what a buffer would.
    assert!(added(0.5) < Duration::from_millis(50));
}

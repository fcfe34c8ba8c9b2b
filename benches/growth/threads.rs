//! Handshakes on several threads.

use std::time::Instant;

use countersign_benches::comparison::{Client, Driver as _, Server};
use countersign_benches::streams::Streams;

use crate::Sizes;
use crate::fixture::Fixture;
use crate::table::{Table, Unit};

pub(crate) fn threads(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "threads: full handshakes with known chains, each side in the same thread, with one acceptor",
        "threads",
        &[("handshakes per second", Unit::Count)],
    );
    for count in [1, 2] {
        let acceptor = fixture
            .builder(fixture.ca.trust())
            .build()
            .expect("an acceptor");
        let client = fixture.client();
        let start = Instant::now();
        let handshakes: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|_| {
                    scope.spawn(|| {
                        let streams = Streams::default();
                        let mut handshakes = 0;
                        while start.elapsed() < sizes.time {
                            let (server, client) = (Server::Ours(&acceptor), Client::Raw(&client));
                            streams.handshake(server, client, false);
                            handshakes += 1;
                        }
                        handshakes
                    })
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|handshakes| handshakes.expect("no panic")).sum()
        });
        table.row(count, [handshakes as f64 / start.elapsed().as_secs_f64()]);
    }
    table
}

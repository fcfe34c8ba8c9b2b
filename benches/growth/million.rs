//! Memory after many handshakes.

use std::sync::Arc;

use countersign_benches::comparison::{Client, Driver as _, Server};
use rustls::client::Resumption;
use stats_alloc::Region;

use crate::fixture::Fixture;
use crate::table::{Table, Unit};
use crate::{ALLOCATOR, Sizes};

pub(crate) fn million(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "million: memory that is in use after so many handshakes, beyond that before the first",
        "handshakes",
        &[("resumed", Unit::Bytes), ("full, known chain", Unit::Bytes)],
    );
    // The sessions of one client are resumed, each once.
    let mut config = fixture.client().as_ref().clone();
    config.resumption = Resumption::in_memory_sessions(1);
    let clients = [Arc::new(config), fixture.client()];
    let acceptors = [(); 2].map(|()| {
        let builder = fixture.builder(fixture.ca.trust());
        builder.build().expect("an acceptor")
    });
    let region = Region::new(ALLOCATOR);
    let used = || {
        let change = region.change();
        change.bytes_allocated as isize - change.bytes_deallocated as isize
    };
    let mut bytes = [0_isize; 2];
    let mut done = 0;
    for size in sizes.total {
        for kind in 0..2 {
            let before = used();
            for number in done..*size {
                let (server, client) =
                    (Server::Ours(&acceptors[kind]), Client::Raw(&clients[kind]));
                let resumed = kind == 0 && number > 0;
                fixture.streams.handshake(server, client, resumed);
            }
            // The two kinds take turns.
            bytes[kind] += used() - before;
        }
        done = *size;
        eprintln!("  {bytes:?} bytes");
        table.row(*size, bytes.map(|bytes| bytes as f64));
    }
    table
}

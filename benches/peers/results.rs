//! `RESULTS.md`.

use std::fmt::Write as _;

use crate::bench::Control;
use crate::chart::{self, Panel};
use crate::grid::Grid;
use crate::handshakes::Handshakes;
use crate::subjects::Kind;

/// What a run has measured.
#[derive(Default)]
pub struct Results {
    pub handshakes: Option<Handshakes>,
    pub grids: Vec<Grid>,
}

impl Results {
    /// The whole page. `machine` has the lines of a list.
    pub fn page(&self, command: &str, is_quick: bool, pinned: bool, machine: &[String]) -> String {
        let mut page = String::from(
            "# Beside other servers\n\n\
             This page is written by `benches/peers/run`, which is the way to get these figures for another \
             machine. All servers get the same certificates (P-256, a root and an intermediate; client and server \
             send their intermediate), TLS 1.3, and the same load from raw rustls over loopback, whose clients offer \
             TLS_AES_256_GCM_SHA384 only (with `--any-suite` the server chooses). They have their \
             defaults, except for what the tables need: the certificates, the number of workers, limits and timeouts \
             that are high enough, `TCP_NODELAY` (HAProxy: `http-no-delay`), and for Envoy a `delayed_close_timeout` \
             of 0, since it otherwise waits a second for the client to close first. \
             `benches/peers/configurations.rs` has them whole.\n\n",
        );
        if is_quick {
            page += "**This was a quick run, which checks that everything works. Its figures mean nothing.**\n\n";
        }
        let pinning = match pinned {
            true => "one CPU each for server and load, except where a table says otherwise",
            false => {
                "server and load share all CPUs, also where a table says that the server has one (taskset or a second \
                 CPU is missing)"
            }
        };
        let _ = writeln!(page, "* command: `{command}`; {pinning}");
        for line in machine {
            let _ = writeln!(page, "* {line}");
        }
        if let Some(handshakes) = &self.handshakes {
            page += &controls(&handshakes.controls);
            let _ = write!(page, "\n{}\n{}", handshakes.classic, handshakes.hybrid);
        }
        for grid in &self.grids {
            let _ = write!(page, "\n{grid}");
        }
        page + "\n" + LIMITS
    }

    /// The chart for the README.
    pub fn chart(&self) -> Option<String> {
        let classic = &self.handshakes.as_ref()?.classic;
        // The same libraries under other HTTP servers are in the tables only, and so is rustls without verification.
        let left_out = [Kind::Floor, Kind::Axum, Kind::RawHyper, Kind::GoHttp].map(Kind::label);
        let panels = [
            "Full mutual TLS handshake, of a client that connected before",
            "Full mutual TLS handshake, of a client that connects for the first time",
            "Resumed",
        ];
        let panels: Vec<_> = (0..)
            .zip(panels)
            .map(|(column, title)| {
                let mut bars = classic.medians(column);
                bars.retain(|(label, _)| !left_out.contains(label));
                Panel { title, bars }
            })
            .collect();
        Some(chart::draw(
            &panels,
            "Server CPU per connection with X25519, one small request included. Shorter is better.",
        ))
    }
}

const LIMITS: &str = "\
## How to read this

* A connection costs more than its handshake: accepting, reading a request, writing a response, closing. All servers \
do the same of it, but HTTP servers also parse and write HTTP, and Envoy, nginx and HAProxy have many functions \
that are not used here. stunnel passes the request to an upstream, whose CPU is not counted; it has no other way to answer.
* CPU is what the kernel accounts for the threads of the server; for stunnel, which has a thread for each connection, \
in steps of 10 ms. Over loopback this includes a part of the client's TCP, and no network card.
* Full handshakes of a known client are what countersign's cache of verified chains is for. Where each client \
connects once, the column \"new client\" is what to expect.
* nginx, HAProxy and stunnel use the OpenSSL of the distribution; a newer one may be faster or slower, and may have the hybrid.
* Every server rejected a client without a certificate and a client of another authority before it was measured.
";

fn controls(controls: &[Control]) -> String {
    let mut table = String::from(
        "\n## Checks before the measurement\n\n\
         What each server did with clients that it must reject (the client's view), and what it negotiated. Tickets \
         and the hybrid were tried with this server.\n\n\
         | server | no certificate | another authority | key exchange | cipher suite | hybrid | resumes |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for control in controls {
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} |",
            control.kind.label(),
            control.without,
            control.foreign,
            control.own.exchange,
            control.own.suite,
            control
                .hybrid
                .as_ref()
                .map_or_else(Clone::clone, |()| "yes".to_owned()),
            if control.resumes { "yes" } else { "no" },
        );
    }
    table
}

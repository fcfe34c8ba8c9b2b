//! The tables that the bench prints.

use std::fmt;
use std::time::Duration;

use crate::case::{BUDGETED, Case, KEYS, Kind, POST_QUANTUM, REFERENCE, Setting, Side, name_of};
use crate::comparison::Round;

pub struct Measured {
    pub case: Case,
    pub rounds: Vec<Round>,
}

/// What a time is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Raw,
    Floor,
}

impl Against {
    fn of(self, round: &Round) -> Option<Duration> {
        match self {
            Self::Raw => Some(round.raw),
            Self::Floor => round.floor,
        }
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw rustls",
            Self::Floor => "the floor",
        })
    }
}

struct Budget {
    work: &'static str,
    side: Side,
    kind: Kind,
    against: Against,
    at_most: f64,
}

impl Budget {
    const fn new(
        work: &'static str,
        (side, kind): (Side, Kind),
        against: Against,
        at_most: f64,
    ) -> Self {
        Self {
            work,
            side,
            kind,
            against,
            at_most,
        }
    }
}

const BUDGETS: [Budget; 5] = [
    Budget::new(
        "full handshake, known chain",
        (Side::Server, Kind::Known),
        Against::Raw,
        0.65,
    ),
    Budget::new("the same", (Side::Server, Kind::Known), Against::Floor, 1.4),
    Budget::new(
        "full handshake, first sight",
        (Side::Server, Kind::FirstSight),
        Against::Raw,
        0.92,
    ),
    Budget::new(
        "resumed handshake, authorized again",
        (Side::Server, Kind::Resumed),
        Against::Raw,
        1.10,
    ),
    Budget::new(
        "client side, known server chain",
        (Side::Client, Kind::Known),
        Against::Raw,
        0.70,
    ),
];

impl Measured {
    /// The median of `of` over the rounds that have a value.
    fn median(&self, of: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<f64> = self.rounds.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    fn time(&self, of: impl Fn(&Round) -> Option<Duration>) -> Option<Micros> {
        self.median(|round| Some(of(round)?.as_secs_f64() * 1e6))
            .map(Micros)
    }

    fn ratio(&self, of: impl Fn(&Round) -> Option<Duration>, against: Against) -> Option<Ratio> {
        self.median(|round| Some(of(round)?.as_secs_f64() / against.of(round)?.as_secs_f64()))
            .map(Ratio::new)
    }

    fn our_ratio(&self, against: Against) -> Option<Ratio> {
        self.ratio(|round| Some(round.ours), against)
    }
}

struct Micros(f64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} µs", self.0)
    }
}

/// Rounded to hundredths, as it is printed and compared with the budget.
struct Ratio(f64);

impl Ratio {
    fn new(ratio: f64) -> Self {
        Self((ratio * 100.0).round() / 100.0)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

/// A cell of a table, which may be empty.
struct Cell<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => write!(f, " {value} |"),
            None => f.write_str(" |"),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.case)?;
        let times = [
            ("ours", self.time(|round| Some(round.ours))),
            ("raw rustls", self.time(|round| Some(round.raw))),
            ("no_verify", self.time(|round| round.no_verify)),
            ("floor", self.time(|round| round.floor)),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                write!(f, " {name} {time},")?;
            }
        }
        for against in [Against::Raw, Against::Floor] {
            if let Some(ratio) = self.our_ratio(against) {
                write!(f, " {ratio} × {against},")?;
            }
        }
        write!(f, " {} rounds", self.rounds.len())
    }
}

/// The tables, in Markdown. The cell of a case that was not measured is empty.
pub struct Report<'a>(pub &'a [Measured]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.budgets(f)?;
        self.times(f)?;
        for side in Side::ALL {
            self.matrix(side, f)?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn find(&self, setting: Setting, side: Side, kind: Kind) -> Option<&Measured> {
        let case = Case {
            setting,
            side,
            kind,
        };
        self.0.iter().find(|measured| measured.case == case)
    }

    fn budgets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = BUDGETED.map(exchange_of).join(" | ");
        writeln!(
            f,
            "\n| P-256, a root and an intermediate; server | budget | {settings} |"
        )?;
        writeln!(f, "|---|---|{}", "---|".repeat(BUDGETED.len()))?;
        for budget in &BUDGETS {
            let Budget {
                work,
                side,
                kind,
                against,
                at_most,
            } = *budget;
            write!(f, "| {work} | ≤ {at_most:.2} × {against} |")?;
            for setting in BUDGETED {
                let measured = self.find(setting, side, kind);
                let ratio = measured.and_then(|measured| measured.our_ratio(against));
                let verdict = ratio.map(|ratio| {
                    let verdict = if ratio.0 <= at_most { "met" } else { "missed" };
                    format!("{ratio}, {verdict}")
                });
                write!(f, "{}", Cell(verdict))?;
            }
            writeln!(f)?;
        }
        write!(f, "| rustls that verifies no chain at all | × the floor |")?;
        for setting in BUDGETED {
            let measured = self.find(setting, Side::Server, Kind::Known);
            let ratio = measured
                .and_then(|measured| measured.ratio(|round| round.no_verify, Against::Floor));
            write!(f, "{}", Cell(ratio))?;
        }
        writeln!(f)
    }

    fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| a root and an intermediate, P-256 if no key is named | ours | raw rustls | floor | ours / raw rustls |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        let settings = BUDGETED.into_iter().chain([POST_QUANTUM]);
        for case in settings.flat_map(Setting::cases) {
            let Some(measured) = self.find(case.setting, case.side, case.kind) else {
                continue;
            };
            writeln!(
                f,
                "| {}: {}, {} |{}{}{}{}",
                exchange_of(case.setting),
                case.side,
                case.kind,
                Cell(measured.time(|round| Some(round.ours))),
                Cell(measured.time(|round| Some(round.raw))),
                Cell(measured.time(|round| round.floor)),
                Cell(measured.our_ratio(Against::Raw)),
            )?;
        }
        Ok(())
    }

    /// A row for each key type and depth.
    fn matrix(&self, side: Side, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| {side}, X25519: ours / raw rustls | known chain | first sight | resumed | known chain / the floor |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        let columns = Kind::ALL.map(|kind| (kind, Against::Raw));
        for key in KEYS {
            for (intermediates, below) in DEPTHS.into_iter().enumerate() {
                let setting = Setting {
                    key,
                    intermediates,
                    ..REFERENCE
                };
                write!(f, "| {}, {below} |", name_of(key))?;
                for (kind, against) in columns.into_iter().chain([(Kind::Known, Against::Floor)]) {
                    let measured = self.find(setting, side, kind);
                    let ratio = measured.and_then(|measured| measured.our_ratio(against));
                    write!(f, "{}", Cell(ratio))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

const DEPTHS: [&str; 3] = ["root only", "one intermediate", "two intermediates"];

fn exchange_of(setting: Setting) -> String {
    let driver = if setting.tokio { "" } else { ", without tokio" };
    let key = match setting.key {
        key if key == REFERENCE.key => String::new(),
        key => format!(" and {}", name_of(key)),
    };
    format!("{}{key}{driver}", setting.exchange)
}

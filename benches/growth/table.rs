//! Tables with the growth law.

use std::fmt;
use std::time::Duration;

/// What a column has.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Time,
    Bytes,
    Count,
}

/// One measured value for each column, by size.
pub(crate) struct Table {
    title: &'static str,
    /// What the size counts.
    size: &'static str,
    columns: &'static [(&'static str, Unit)],
    rows: Vec<(usize, Vec<f64>)>,
}

impl Table {
    pub(crate) fn new(
        title: &'static str,
        size: &'static str,
        columns: &'static [(&'static str, Unit)],
    ) -> Self {
        println!("\nmeasuring: {title}");
        Self {
            title,
            size,
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row. One of the same size is replaced: that was to warm up.
    pub(crate) fn row(&mut self, size: usize, values: impl Into<Vec<f64>>) {
        let values = values.into();
        assert_eq!(values.len(), self.columns.len());
        // Shows progress; the last table of a run may take minutes.
        eprintln!("  {size} {}", self.size);
        self.rows.retain(|(other, _)| *other != size);
        self.rows.push((size, values));
    }
}

/// In Markdown. Behind each value is the exponent of its growth since the row above: 0 is constant, 1 is linear.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n", self.title)?;
        write!(f, "| {} |", self.size)?;
        for (name, _) in self.columns {
            write!(f, " {name} |")?;
        }
        writeln!(f, "\n|---|{}", "---|".repeat(self.columns.len()))?;
        for (index, (size, values)) in self.rows.iter().enumerate() {
            write!(f, "| {size} |")?;
            for (column, value) in values.iter().enumerate() {
                let (_, unit) = self.columns[column];
                write!(
                    f,
                    " {}",
                    Value {
                        value: *value,
                        unit
                    }
                )?;
                let above = index.checked_sub(1).map(|above| &self.rows[above]);
                if let Some(exponent) = above.and_then(|(before, values)| {
                    exponent((*before, values[column]), (*size, *value))
                }) {
                    write!(f, " (n^{exponent:.2})")?;
                }
                f.write_str(" |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn exponent(before: (usize, f64), after: (usize, f64)) -> Option<f64> {
    let grown = (after.1 / before.1).ln() / (after.0 as f64 / before.0 as f64).ln();
    // Values of zero, or below, have none. "-0.00" means nothing else than "0.00".
    grown
        .is_finite()
        .then_some((grown * 100.0).round() / 100.0 + 0.0)
}

struct Value {
    value: f64,
    unit: Unit,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.unit {
            Unit::Time => {
                let (scale, unit) = match value {
                    ..1e-6 => (1e9, "ns"),
                    ..1e-3 => (1e6, "µs"),
                    ..1.0 => (1e3, "ms"),
                    _ => (1.0, "s"),
                };
                let value = value * scale;
                // Two significant digits at least.
                let digits = usize::from(value < 10.0);
                write!(f, "{value:.digits$} {unit}")
            }
            Unit::Bytes => {
                let (scale, unit) = match value.abs() {
                    ..1e4 => (1.0, "B"),
                    ..1e7 => (1e-3, "kB"),
                    _ => (1e-6, "MB"),
                };
                write!(f, "{:.0} {unit}", value * scale)
            }
            Unit::Count => write!(f, "{value:.0}"),
        }
    }
}

pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

pub(crate) fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    seconds(times[times.len() / 2])
}

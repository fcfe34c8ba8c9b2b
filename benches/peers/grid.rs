//! Tables of measured values: median, spread, and the ratio to the first row.

use std::fmt;

/// The values of all rounds, or why there are none.
pub type Cell = Result<Vec<f64>, String>;

pub struct Column {
    pub heading: &'static str,
    /// The number of decimal places.
    pub digits: usize,
    /// Whether a cell shows the ratio to the first row.
    pub compared: bool,
}

impl Column {
    pub const fn new(heading: &'static str, digits: usize) -> Self {
        Self {
            heading,
            digits,
            compared: false,
        }
    }

    pub const fn compared(mut self) -> Self {
        self.compared = true;
        self
    }
}

pub struct Grid {
    pub title: &'static str,
    /// What is measured and how, in Markdown.
    pub text: String,
    pub columns: Vec<Column>,
    pub rows: Vec<(String, Vec<Cell>)>,
}

impl Grid {
    pub fn new<S: Into<String>>(
        title: &'static str,
        text: String,
        columns: Vec<Column>,
        rows: impl IntoIterator<Item = S>,
    ) -> Self {
        let cells: Vec<Cell> = columns.iter().map(|_| Ok(Vec::new())).collect();
        let rows = rows.into_iter().map(|label| (label.into(), cells.clone()));
        Self {
            title,
            text,
            rows: rows.collect(),
            columns,
        }
    }

    /// Adds the values of one round to a row, from this column on. After a failure, the cells have only
    /// its reason.
    pub fn add<const N: usize>(
        &mut self,
        row: usize,
        column: usize,
        measured: Result<[f64; N], String>,
    ) {
        let cells = &mut self.rows[row].1[column..column + N];
        match measured {
            Ok(values) => {
                for (cell, value) in cells.iter_mut().zip(values) {
                    if let Ok(values) = cell {
                        values.push(value);
                    }
                }
            }
            Err(reason) => cells.fill(Err(reason)),
        }
    }

    /// Whether a row has no failure in this column so far.
    pub fn is_good(&self, row: usize, column: usize) -> bool {
        self.rows[row].1[column].is_ok()
    }

    /// The label and median of each row that has values in this column.
    pub fn medians(&self, column: usize) -> Vec<(&str, f64)> {
        let rows = self.rows.iter().filter_map(|(label, cells)| {
            let values = cells[column].as_ref().ok()?;
            Some((label.as_str(), median(values)?))
        });
        rows.collect()
    }

    fn cell(&self, row: usize, column: usize) -> String {
        let Column {
            digits, compared, ..
        } = self.columns[column];
        let values = match &self.rows[row].1[column] {
            Ok(values) => values,
            Err(reason) => return format!("not measured: {reason}"),
        };
        let Some(middle) = median(values) else {
            return "–".to_owned();
        };
        let mut text = format!("{middle:.digits$}");
        if values.len() > 1 {
            let [least, most] =
                [f64::min, f64::max].map(|of| values.iter().copied().reduce(of).unwrap_or(0.0));
            text += &format!(" ({least:.digits$}–{most:.digits$})");
        }
        if compared && let Ok(base) = &self.rows[0].1[column] {
            // Of two values of one round, so that load on the machine matters less.
            let ratios: Vec<f64> = {
                let pairs = values.iter().zip(base);
                let ratios = pairs.map(|(own, base)| own / base);
                // Times of short runs can be zero.
                ratios.filter(|ratio| ratio.is_finite()).collect()
            };
            if let Some(ratio) = median(&ratios) {
                text += &format!(" · **{ratio:.2}**");
            }
        }
        text
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "## {}\n\n{}\n\n| server |", self.title, self.text)?;
        for column in &self.columns {
            write!(f, " {} |", column.heading)?;
        }
        writeln!(f, "\n|---|{}", "---|".repeat(self.columns.len()))?;
        for (row, (label, _)) in self.rows.iter().enumerate() {
            write!(f, "| {label} |")?;
            for column in 0..self.columns.len() {
                write!(f, " {} |", self.cell(row, column))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some((sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0)
}

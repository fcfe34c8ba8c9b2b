//! The bars of the README: `peers.svg`. It needs no script, and its colours fit light and dark pages.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 270.0;
const VALUES: f64 = 70.0;
const ROW: f64 = 19.0;
const TITLE: f64 = 32.0;

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-weight:600}.own{fill:#1a7f64}.other{fill:#8c959f}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.own{fill:#3fb68b}.other{fill:#6e7681}}";

/// The bars of one kind of handshake.
pub struct Panel<'a> {
    pub title: &'a str,
    /// A label and its value.
    pub bars: Vec<(&'a str, f64)>,
}

pub fn draw(panels: &[Panel<'_>], caption: &str) -> String {
    let height = |panel: &Panel<'_>| TITLE + ROW * panel.bars.len() as f64;
    let total = panels.iter().map(height).sum::<f64>() + TITLE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" width=\"{WIDTH}\" \
         height=\"{total}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n",
        escaped(caption)
    );
    let mut y = 0.0;
    for panel in panels {
        text(&mut svg, "title", 8.0, y + 22.0, panel.title);
        y += TITLE;
        let most = panel
            .bars
            .iter()
            .map(|(_, value)| *value)
            .fold(1.0, f64::max);
        for (label, value) in &panel.bars {
            let length = (WIDTH - LABELS - VALUES) * value / most;
            let class = if label.contains("countersign") {
                "own"
            } else {
                "other"
            };
            text(&mut svg, "label", 8.0, y + 13.0, &label.replace('`', ""));
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"14\" rx=\"2\"/>",
                y + 1.0
            );
            text(
                &mut svg,
                "value",
                LABELS + length + 6.0,
                y + 13.0,
                &format!("{value:.0} µs"),
            );
            y += ROW;
        }
    }
    text(&mut svg, "caption", 8.0, y + 22.0, caption);
    svg + "</svg>\n"
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, content: &str) {
    let content = escaped(content);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

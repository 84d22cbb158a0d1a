//! Bars, drawn as SVG.

use std::fmt::Write;

const LABEL: f64 = 190.0;
const BAR: f64 = 420.0;
const VALUE: f64 = 80.0;
const ROW: f64 = 15.0;
const GAP: f64 = 7.0;
const TOP: f64 = 48.0;
const COLOURS: [&str; 3] = ["#2f6f9f", "#8fb8d6", "#c9dcea"];
const OWN_COLOURS: [&str; 3] = ["#b4531a", "#dd9a6c", "#efcbb0"];

/// A row for each name, in it a bar for each series. Rows of STEVE have a colour of their own.
pub(crate) fn bars(title: &str, series: &[&str], rows: &[(&str, Vec<f64>)]) -> String {
    let most =
        rows.iter().flat_map(|(_, values)| values).copied().fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + rows.len() as f64 * (series.len() as f64 * ROW + GAP);
    let width = LABEL + BAR + VALUE;
    let legend = match series {
        [_, _, ..] => format!("from the top: {}", series.join(", ")),
        _ => series.concat(),
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"13\" font-weight=\"bold\">{}</text>\n\
         <text x=\"8\" y=\"36\" fill=\"#555\">{}</text>\n",
        escaped(title),
        escaped(&legend)
    );
    let mut y = TOP;
    for (name, values) in rows {
        let colours = if name.starts_with("STEVE") { OWN_COLOURS } else { COLOURS };
        let middle = y + values.len() as f64 * ROW / 2.0 + 4.0;
        let x = LABEL - 8.0;
        let name = escaped(name);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>");
        for (index, value) in values.iter().enumerate() {
            let (length, colour) = (value / most * BAR, colours[index % colours.len()]);
            let (bar, base) = (ROW - 2.0, y + ROW - 4.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{LABEL}\" y=\"{y}\" width=\"{length:.1}\" height=\"{bar}\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{base}\">{}</text>",
                LABEL + length + 4.0,
                number(*value)
            );
            y += ROW;
        }
        y += GAP;
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// With three digits, or as many as there are before the point.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_its_place() {
        let svg = bars("a < b", &["ms"], &[("one", vec![2.0]), ("STEVE", vec![1.0])]);
        assert!(svg.contains("a &lt; b") && svg.contains("width=\"420.0\""), "{svg}");
        assert!(svg.contains("width=\"210.0\"") && svg.contains(OWN_COLOURS[0]), "{svg}");
        let svg = bars("", &["p50", "p99"], &[("one", vec![1.0, 2.0])]);
        assert!(svg.contains("from the top: p50, p99<"), "{svg}");
        assert_eq!(
            ["0.012", "1.23", "12.3", "1234"],
            [0.0123, 1.234, 12.34, 1234.4].map(number).each_ref().map(String::as_str)
        );
    }
}

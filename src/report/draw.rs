//! The pictures of a report, drawn to scale as SVG: text out, nothing else.
//!
//! Nothing is told by colour alone, so that a page printed in black and white says the same. Every text goes through
//! [`text`], which escapes it.

pub(super) mod axis;
pub(super) mod charts;
pub(super) mod plan;
pub(super) mod timeline;

use minijinja::HtmlEscape;

/// The width of all pictures, in their own units.
pub(super) const WIDTH: f64 = 1000.0;

/// The fillings that the pictures share: once in a page.
pub(super) const PATTERNS: &str = "<svg class=\"patterns\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\
<pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<rect width=\"5\" height=\"5\" fill=\"#fff\"/><rect width=\"1.6\" height=\"5\" fill=\"#222\"/></pattern>\
<pattern id=\"back\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">\
<rect width=\"6\" height=\"6\" fill=\"#e6e9ec\"/><rect width=\"3\" height=\"6\" fill=\"#7b858e\"/></pattern>\
<pattern id=\"cross\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 0L5 5M5 0L0 5\" stroke=\"#222\" stroke-width=\".9\"/></pattern>\
<pattern id=\"dots\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">\
<rect width=\"4\" height=\"4\" fill=\"#fff\"/><circle cx=\"2\" cy=\"2\" r=\".9\" fill=\"#222\"/></pattern></defs></svg>";

/// A whole picture.
fn picture(title: &str, height: f64, body: &str) -> String {
    let (width, height) = (number(WIDTH), number(height));
    let title = HtmlEscape(title);
    format!(
        "<svg class=\"drawing\" role=\"img\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"xMinYMin\"><title>{title}</title>{body}</svg>"
    )
}

/// At most one decimal, without a useless one.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A place and a size.
#[derive(Debug, Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

fn rect(out: &mut String, class: &str, area: Area, tooltip: &str) {
    let (x, y) = (number(area.x), number(area.y));
    // A bar of no width is a thing that happened and nobody would see.
    let (width, height) = (number(area.width.max(1.2)), number(area.height));
    let title = if tooltip.is_empty() { String::new() } else { format!("<title>{}</title>", HtmlEscape(tooltip)) };
    out.push_str(&format!(
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\">{title}</rect>"
    ));
}

fn text(out: &mut String, class: &str, (x, y): (f64, f64), words: &str) {
    out.push_str(&format!(
        "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>",
        number(x),
        number(y),
        HtmlEscape(words)
    ));
}

fn line(out: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let (x1, y1, x2, y2) = (number(from.0), number(from.1), number(to.0), number(to.1));
    out.push_str(&format!("<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>"));
}

/// About how wide a text of the small size is.
#[expect(clippy::cast_precision_loss, reason = "texts are short")]
fn text_width(words: &str) -> f64 {
    words.chars().count() as f64 * 6.6
}

/// Cut to a width, in the middle: both ends of a name tell it from others.
fn fit(words: &str, width: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width is small and positive")]
    let most = (width.max(0.0) / 6.6) as usize;
    let chars: Vec<char> = words.chars().collect();
    if chars.len() <= most {
        return words.to_owned();
    }
    let half = most.saturating_sub(1) / 2;
    let (head, tail) = (most.saturating_sub(1) - half, half);
    chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::{fit, number};

    #[test]
    fn names_are_cut_in_the_middle_and_numbers_are_short() {
        assert_eq!(fit("final_data_sync", 200.0), "final_data_sync");
        assert_eq!(fit("a_very_long_name_of_a_step", 66.0), "a_ver…step");
        assert_eq!([number(12.0), number(0.26)], ["12".to_owned(), "0.3".to_owned()]);
    }
}

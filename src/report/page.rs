//! The report as a page: a template with automatic escaping, and the few words that it needs.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, context};

use super::Report;
use super::draw::PATTERNS;
use crate::view::words::{span, span_u};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// Fills the template in.
pub(super) fn render(report: &Report) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::SemiStrict);
    let hours = report.hours.clone();
    environment.add_filter("time", move |at: i64| hours.time(at));
    let hours = report.hours.clone();
    environment.add_filter("moment", move |at: i64| hours.moment(at));
    environment.add_filter("span", |ms: i64| span(ms));
    environment.add_filter("spanu", |ms: u64| span_u(ms));
    environment.add_filter("code", code);
    // The name ends in `.html`: that is what turns escaping on.
    environment.add_template("page.html", TEMPLATE)?;
    let timelines = report.timelines.iter().map(|timeline| {
        context! { title => &timeline.title[..], note => &timeline.note[..], svg => Value::from_safe_string(timeline.svg.clone()) }
    });
    let charts = report.criteria.iter().map(|criterion| criterion.chart.clone().map(Value::from_safe_string));
    environment.get_template("page.html")?.render(context! {
        report => Value::from(Serde(report)),
        style => Value::from_safe_string(STYLE.to_owned()),
        patterns => Value::from_safe_string(PATTERNS.to_owned()),
        timelines => timelines.collect::<Vec<_>>(),
        charts => charts.collect::<Vec<_>>(),
        picture => report.picture.clone().map(Value::from_safe_string),
        version => env!("CARGO_PKG_VERSION"),
    })
}

/// `words between backticks` become code; everything is escaped first.
pub(super) fn code(text: &str) -> Value {
    let escaped = minijinja::HtmlEscape(text).to_string();
    let mut html = String::with_capacity(escaped.len() + 16);
    let mut parts = escaped.split('`').peekable();
    let mut inside = false;
    while let Some(part) = parts.next() {
        // An odd backtick at the end opens nothing.
        if inside && parts.peek().is_none() {
            html.push('`');
            html.push_str(part);
        } else if inside {
            html.push_str("<code>");
            html.push_str(part);
            html.push_str("</code>");
        } else {
            html.push_str(part);
        }
        inside = !inside;
    }
    Value::from_safe_string(html)
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn backticks_become_code_and_markup_stays_text() {
        assert_eq!(code("`a` and <b>").to_string(), "<code>a</code> and &lt;b&gt;");
        assert_eq!(code("an odd ` one").to_string(), "an odd ` one");
        assert_eq!(code("`</script>`").to_string(), "<code>&lt;&#x2f;script&gt;</code>");
    }
}

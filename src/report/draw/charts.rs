//! Samples of a criterion against its limits.

use super::super::hours::Hours;
use super::super::story::{Sample, Story};
use super::axis::Axis;
use super::{Area, line, number, picture, rect, text};
use crate::machine::fact::{Millis, Verdict};

const LEFT: f64 = 74.0;
const RIGHT: f64 = 992.0;
const PLOT: f64 = 84.0;

/// More points than this cannot be told from each other.
const MOST_POINTS: usize = 600;

/// A value that a criterion holds against a limit, over time.
struct Curve {
    what: String,
    symbol: &'static str,
    points: Vec<Point>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    at: Millis,
    value: f64,
    limit: f64,
}

impl Point {
    fn is_bad(self, symbol: &str) -> bool {
        match symbol {
            ">" => self.value > self.limit,
            ">=" => self.value >= self.limit,
            "<" => self.value < self.limit,
            _ => self.value <= self.limit,
        }
    }
}

/// The picture of a criterion; `None` where it was never sampled.
pub(in crate::report) fn chart(story: &Story, ix: usize, hours: &Hours) -> Option<String> {
    let samples = &story.samples[ix];
    let first = samples.first()?;
    let begin = story.run.exposed.unwrap_or(first.planned).min(first.planned);
    let last = story.samples.iter().filter_map(|of| of.last()).map(|sample| sample.planned).max();
    // All criteria share one axis, so that what happened at one time stands in one place.
    let axis = Axis::new((begin, last.unwrap_or(begin)), (LEFT, RIGHT));
    let curves = curves(samples);
    let mut body = String::new();
    let mut y = 16.0;
    #[expect(clippy::cast_precision_loss, reason = "a criterion has a handful of limits")]
    let bottom = 16.0 + 24.0 + curves.len() as f64 * (PLOT + 22.0);
    axis.draw(&mut body, hours, y, bottom);
    strip(&mut body, samples, &axis, y);
    y += 24.0;
    for curve in &curves {
        draw(&mut body, curve, &axis, y + 16.0);
        y += PLOT + 22.0;
    }
    Some(picture(&story.run.plan.criteria[ix].id, bottom + 8.0, &body))
}

/// One mark for each sample: passes low, fails high.
fn strip(out: &mut String, samples: &[Sample], axis: &Axis, y: f64) {
    text(out, "lane", (LEFT - 6.0, y + 13.0), "samples");
    let mut newest: Option<(f64, u8)> = None;
    for sample in samples {
        let x = axis.x(sample.planned);
        let (class, height, weight) = match sample.verdict {
            Verdict::Pass => ("k-pass", 6.0, 0),
            Verdict::Inconclusive { .. } => ("k-none", 6.0, 1),
            Verdict::Fail => ("k-fail", 16.0, 2),
        };
        if newest.is_some_and(|(known, worst)| x - known < 1.5 && weight <= worst) {
            continue;
        }
        newest = Some((x, weight));
        line(out, class, (x, y + 18.0), (x, y + 18.0 - height));
    }
}

/// The curves of all limits that samples were held against.
fn curves(samples: &[Sample]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for sample in samples {
        for measured in &sample.measured {
            let point = Point { at: sample.planned, value: measured.value, limit: measured.limit };
            if !(point.value.is_finite() && point.limit.is_finite()) {
                continue;
            }
            let known = curves.iter_mut().find(|curve| curve.what == measured.what && curve.symbol == measured.symbol);
            match known {
                Some(curve) => curve.points.push(point),
                None => {
                    curves.push(Curve { what: measured.what.clone(), symbol: measured.symbol, points: vec![point] });
                }
            }
        }
    }
    for curve in &mut curves {
        thin(curve);
    }
    curves
}

/// Of points that fall on one place only the worst is kept.
fn thin(curve: &mut Curve) {
    let size = curve.points.len().div_ceil(MOST_POINTS);
    if size < 2 {
        return;
    }
    let rising = curve.symbol.starts_with('>');
    let worst = |chunk: &[Point]| {
        let by = |a: &&Point, b: &&Point| a.value.total_cmp(&b.value);
        if rising { chunk.iter().max_by(by).copied() } else { chunk.iter().min_by(by).copied() }
    };
    curve.points = curve.points.chunks(size).filter_map(worst).collect();
}

fn draw(out: &mut String, curve: &Curve, axis: &Axis, top: f64) {
    let highest = curve.points.iter().fold(0.0_f64, |most, point| most.max(point.value).max(point.limit));
    let lowest = curve.points.iter().fold(0.0_f64, |least, point| least.min(point.value).min(point.limit));
    let high = if highest > lowest { highest + (highest - lowest) * 0.12 } else { lowest + 1.0 };
    let y = |value: f64| top + PLOT - (value - lowest) / (high - lowest) * PLOT;
    rect(out, "plot", Area { x: LEFT, y: top, width: RIGHT - LEFT, height: PLOT }, "");
    text(out, "tick", (LEFT - 6.0, y(lowest) + 3.0), &short(lowest));
    text(out, "tick", (LEFT - 6.0, y(highest) + 3.0), &short(highest));
    let path = |of: &dyn Fn(&Point) -> f64| {
        let mut path = String::new();
        for (at, point) in curve.points.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            path.push_str(&format!("{letter}{} {}", number(axis.x(point.at)), number(y(of(point)))));
        }
        path
    };
    // A limit holds over the whole time, also beside a single sample.
    if let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) {
        let (before, after) = ((LEFT, y(first.limit)), (RIGHT, y(last.limit)));
        line(out, "limit", before, (axis.x(first.at), before.1));
        out.push_str(&format!("<path class=\"limit\" d=\"{}\"/>", path(&|point| point.limit)));
        line(out, "limit", (axis.x(last.at), after.1), after);
        let words = format!("{} {} {}", curve.what, curve.symbol, short(last.limit));
        let below = before.1 - top < 14.0;
        let place = (LEFT + 5.0, before.1 + if below { 11.0 } else { -4.0 });
        text(out, "limit-word", place, &words);
    }
    out.push_str(&format!("<path class=\"curve\" d=\"{}\"/>", path(&|point| point.value)));
    for point in curve.points.iter().filter(|point| point.is_bad(curve.symbol)) {
        let (x, y) = (axis.x(point.at), y(point.value));
        rect(out, "bad-point", Area { x: x - 2.5, y: y - 2.5, width: 5.0, height: 5.0 }, &short(point.value));
    }
    if curve.points.len() <= 120 {
        for point in curve.points.iter().filter(|point| !point.is_bad(curve.symbol)) {
            let (x, y) = (number(axis.x(point.at)), number(y(point.value)));
            out.push_str(&format!("<circle class=\"good-point\" cx=\"{x}\" cy=\"{y}\" r=\"1.8\"/>"));
        }
    }
}

/// Three or four digits that count.
fn short(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size >= 100.0 || value.fract() == 0.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{Curve, MOST_POINTS, Point, short, thin};

    #[test]
    fn numbers_are_short_and_thinning_keeps_the_worst() {
        assert_eq!([short(250.0), short(0.0204), short(12.34), short(1.5)], ["250", "0.02", "12.3", "1.5"]);
        let at = |value: i32| Point { at: i64::from(value), value: f64::from(value % 7), limit: 3.0 };
        let mut curve = Curve { what: String::new(), symbol: ">", points: (0..7_000).map(at).collect() };
        thin(&mut curve);
        assert!(curve.points.len() <= MOST_POINTS);
        assert!(curve.points.iter().all(|point| point.value > 5.0), "the worst of each chunk stays");
    }
}

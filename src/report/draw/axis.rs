//! A time axis: from times to places, and the marks along it.

use super::super::hours::{Hours, WithSeconds};
use super::{line, text};
use crate::machine::fact::Millis;

/// Distances of marks, in milliseconds.
const STEPS: [i64; 25] = [
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    2 * 60_000,
    5 * 60_000,
    10 * 60_000,
    15 * 60_000,
    30 * 60_000,
    3_600_000,
    2 * 3_600_000,
    3 * 3_600_000,
    6 * 3_600_000,
    12 * 3_600_000,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
];
const DAY: i64 = 24 * 3_600_000;

/// How many marks fit.
const MARKS: i64 = 9;

/// Times from left to right.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Axis {
    pub(super) from: Millis,
    pub(super) to: Millis,
    pub(super) left: f64,
    right: f64,
}

impl Axis {
    /// An axis between two places. A run that took no time at all is drawn as if it had taken a second.
    pub(super) fn new((from, to): (Millis, Millis), (left, right): (f64, f64)) -> Self {
        Self { from, to: to.max(from.saturating_add(1_000)), left, right }
    }

    /// The place of a time; what lies outside is put on the edge.
    #[expect(clippy::cast_precision_loss, reason = "a pixel is far coarser")]
    pub(super) fn x(&self, at: Millis) -> f64 {
        let part = at.clamp(self.from, self.to).saturating_sub(self.from) as f64 / (self.to - self.from) as f64;
        self.left + part * (self.right - self.left)
    }

    /// Whether a span can be seen.
    pub(super) fn shows(&self, from: Millis, to: Millis) -> bool {
        to >= self.from && from <= self.to
    }

    /// The marks, with their words.
    fn marks(&self, hours: &Hours) -> Vec<(Millis, String)> {
        let length = self.to - self.from;
        let step = STEPS.into_iter().find(|step| length / step <= MARKS).unwrap_or(length / MARKS).max(1);
        let fine = match step {
            0..1_000 => WithSeconds::Fractions,
            1_000..60_000 => WithSeconds::Yes,
            60_000..DAY => WithSeconds::No,
            _ => WithSeconds::DayOnly,
        };
        // Round times of the reader's clock, not of UTC.
        let offset = hours.offset_ms(self.from);
        let mut at = (self.from + offset).div_euclid(step) * step - offset;
        let mut marks = Vec::new();
        while at <= self.to {
            if at >= self.from {
                marks.push((at, hours.mark(at, fine)));
            }
            at += step;
        }
        marks
    }

    /// Draws the marks above `top` and their lines down to `bottom`.
    pub(super) fn draw(&self, out: &mut String, hours: &Hours, top: f64, bottom: f64) {
        for (at, word) in self.marks(hours) {
            let x = self.x(at);
            line(out, "grid", (x, top), (x, bottom));
            text(out, "mark", (x, top - 4.0), &word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;

    #[test]
    fn times_outside_lie_on_the_edges_and_no_length_is_a_second() {
        let axis = Axis::new((5_000, 5_000), (100.0, 200.0));
        assert!((axis.x(5_500) - 150.0).abs() < 0.01);
        assert!((axis.x(0) - 100.0).abs() < 0.01);
        assert!((axis.x(99_000) - 200.0).abs() < 0.01);
        assert!(axis.shows(0, 5_000) && !axis.shows(0, 4_999));
    }
}

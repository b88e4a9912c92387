//! The picture for people: bands from top to bottom on a page of A4's width.

use std::fmt::Write as _;

use super::bands::{Band, Content, CriterionCell, Sheet};
use super::flow::{self, COLUMN_GAP, WIDTH};
use super::shapes::{self, Badge, label, number, pill, pill_width, rect, shorten};
use super::style::CSS;
use super::words::{self, xml};
use super::{Look, State};
use crate::plan::estimate::{Length, estimate};
use crate::plan::sealed::Plan;

const PAGE: f64 = 968.0;
const LEFT: f64 = (PAGE - WIDTH) / 2.0;
const EDGE: f64 = 8.0;
const HEADER: f64 = 92.0;
const BETWEEN: f64 = 14.0;

/// A page of A4 within its margins, in the picture's own units: 190 by 277 mm.
const PAGE_HEIGHT: f64 = PAGE * 277.0 / 190.0;

/// Draws a plan, or a run of it, as one picture.
#[must_use]
pub fn svg(plan: &Plan, look: &Look) -> String {
    let chunks = chunks(plan, look);
    frame(plan, &chunks)
}

/// The same as pages of A4: no band is cut unless it alone is longer than a page.
#[must_use]
pub fn pages(plan: &Plan, look: &Look) -> Vec<String> {
    let chunks = chunks(plan, look);
    let mut pages = Vec::new();
    let mut start = 0;
    for end in 1..=chunks.len() {
        let is_full = chunks.get(end).is_none_or(|next| next.bottom - chunks[start].top > PAGE_HEIGHT);
        if is_full {
            pages.push(frame(plan, &chunks[start..end]));
            start = end;
        }
    }
    pages
}

/// A part of the picture that stays whole: the header, a band, the legend.
struct Chunk {
    body: String,
    top: f64,
    bottom: f64,
}

fn chunks(plan: &Plan, look: &Look) -> Vec<Chunk> {
    let times = estimate(plan, &look.history);
    let sheet = Sheet::new(plan, look, &times);
    let mut body = String::new();
    header(&mut body, &sheet);
    let mut chunks = vec![Chunk { body, top: 0.0, bottom: HEADER }];
    let mut y = HEADER;
    let bands = sheet.bands();
    for (at, band) in bands.iter().enumerate() {
        let mut body = String::new();
        let bottom = draw_band(&mut body, band, y);
        if bands.get(at + 1).is_some_and(|next| next.is_forward && band.is_forward) {
            let (x, top) = (number(PAGE / 2.0), number(bottom + 3.0));
            write!(body, "<path class=\"next\" d=\"M{x} {top}m-7 0h14l-7 8z\"/>").expect("text can grow");
        }
        chunks.push(Chunk { body, top: y, bottom: bottom + BETWEEN });
        y = bottom + BETWEEN;
    }
    let mut body = String::new();
    let bottom = legend(&mut body, y);
    chunks.push(Chunk { body, top: y, bottom });
    chunks
}

/// Chunks that follow each other, with everything that a picture needs to stand alone.
fn frame(plan: &Plan, chunks: &[Chunk]) -> String {
    let title = words::title(plan);
    let top = chunks.first().map_or(0.0, |chunk| chunk.top);
    let bottom = chunks.last().map_or(0.0, |chunk| chunk.bottom);
    let (top, width, height) = (number(top), number(PAGE), number(bottom - top));
    let body: String = chunks.iter().map(|chunk| chunk.body.as_str()).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bp\" role=\"img\" viewBox=\"0 {top} {width} {height}\" \
         width=\"{width}\" height=\"{height}\"><title>{}</title><style>{CSS}</style><defs><pattern id=\"bp-hatch\" width=\"6\" \
         height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" \
         fill=\"#fff\"/><rect width=\"3\" height=\"6\" fill=\"#343c44\"/></pattern></defs><rect class=\"paper\" y=\"{top}\" \
         width=\"{width}\" height=\"{height}\"/>{body}</svg>\n",
        xml(&title)
    )
}

fn header(out: &mut String, sheet: &Sheet<'_>) {
    let plan = sheet.plan;
    label(out, "title", EDGE, 30.0, &shorten(&plan.application, 44));
    if let Some(route) = words::route(plan, "→") {
        label(out, "route", EDGE, 51.0, &shorten(&route, 70));
    }
    let change = plan.policies.change.as_ref().and_then(|change| change.id.as_ref());
    let change = change.map(|id| format!("{id} · ")).unwrap_or_default();
    label(out, "caption", EDGE, 69.0, &format!("{change}plan {}", plan.hash().short()));
    let figures: [(&str, Option<Length>); 4] = [
        ("to the target", sheet.times.until_exposure),
        ("without service", sheet.times.downtime),
        ("back to the source", Some(sheet.times.until_source_serves)),
        ("back and clean", Some(sheet.times.until_clean)),
    ];
    let mut x = PAGE - EDGE;
    for (caption, length) in figures.iter().rev() {
        let shown = length.map_or_else(|| "none".to_owned(), figure);
        label(out, "figure end", x, 34.0, &shown);
        label(out, "caption end", x, 51.0, caption);
        x -= 128.0;
    }
    if !plan.missing.is_empty() {
        let names: Vec<&str> = plan.missing.iter().map(|missing| missing.name.as_str()).collect();
        let text = format!("cannot run yet, inputs are missing: {}", names.join(", "));
        label(out, "word end", PAGE - EDGE, 71.0, &shorten(&text, 84));
    }
}

fn figure(length: Length) -> String {
    match (length.is_open, length.at_least_ms) {
        (true, 0) => "unknown".to_owned(),
        (true, known) => format!("> {}", Length::of(Some(known))),
        (false, _) => length.to_string(),
    }
}

/// Draws a band below `top`; gives its lower edge.
fn draw_band(out: &mut String, band: &Band, top: f64) -> f64 {
    let inside = top + 43.0;
    let mut content = String::new();
    let bottom = match &band.content {
        Content::Steps { nodes, edges } => {
            let layout = flow::arrange(nodes.len(), edges);
            for line in &layout.lines {
                shapes::line(&mut content, line, (LEFT, inside));
            }
            for (node, (x, y)) in nodes.iter().zip(&layout.places) {
                shapes::node(&mut content, node, (LEFT + x, inside + y));
            }
            inside + layout.height + 14.0
        }
        Content::Criteria { lines, criteria } => criteria_grid(&mut content, lines, criteria, top + 38.0),
    };
    let (class, stripe) = if band.is_forward { ("band", "stripe") } else { ("band-back", "stripe-back") };
    rect(out, class, (EDGE, top, PAGE - 2.0 * EDGE, bottom - top), 5.0);
    rect(out, stripe, (EDGE, top, 6.0, bottom - top), 0.0);
    label(out, "head", EDGE + 18.0, top + 21.0, band.title);
    #[expect(clippy::cast_precision_loss, reason = "titles are short")]
    let after = EDGE + 18.0 + band.title.chars().count() as f64 * 8.3 + 12.0;
    label(out, "note", after, top + 21.0, &shorten(&band.note, 120));
    out.push_str(&content);
    bottom
}

fn criteria_grid(out: &mut String, lines: &[String], criteria: &[CriterionCell], mut y: f64) -> f64 {
    for line in lines {
        label(out, "note", LEFT, y + 4.0, &shorten(line, 150));
        y += 17.0;
    }
    y += 2.0;
    let width = (WIDTH - COLUMN_GAP) / 2.0;
    for pair in criteria.chunks(2) {
        for (column, criterion) in (0_u8..).zip(pair) {
            cell(out, criterion, (LEFT + f64::from(column) * (width + COLUMN_GAP), y), width);
        }
        y += 42.0;
    }
    y + 6.0
}

fn cell(out: &mut String, criterion: &CriterionCell, (x, y): (f64, f64), width: f64) {
    write!(out, "<g><title>{}</title>", xml(&criterion.tooltip)).expect("text can grow");
    let class = criterion.state.map_or("box".to_owned(), |state| format!("box s-{}", state.class()));
    rect(out, &class, (x, y, width, 34.0), 3.0);
    label(out, "mono", x + 12.0, y + 15.0, &shorten(&criterion.name, 44));
    label(out, "sub", x + 12.0, y + 28.0, &criterion.rule);
    let room = pill_width(criterion.action);
    pill(out, criterion.action, x + width - room - 8.0, y + 9.5, criterion.action.starts_with("goes back"));
    if let Some(word) = criterion.state.map(State::word).filter(|word| !word.is_empty()) {
        label(out, "word end", x + width - room - 16.0, y + 21.0, word);
    }
    out.push_str("</g>");
}

/// What the signs mean.
fn legend(out: &mut String, top: f64) -> f64 {
    let y = top + 8.0;
    let mut x = EDGE + 8.0;
    for (number, is_cleanup, text, room) in [
        (1, false, "undone in this place, brings users back", 246.0),
        (5, true, "undone in this place, when users are back", 252.0),
    ] {
        shapes::badge(out, Badge { number, is_cleanup }, x, y);
        label(out, "caption", x + 14.0, y + 3.5, text);
        x += room;
    }
    for (blocks, text, room) in
        [(true, "if the one fails to be undone, the other is held back", 310.0), (false, "order only", 90.0)]
    {
        let (edge, tip) = if blocks { ("edge edge-blocks", "tip tip-blocks") } else { ("edge", "tip") };
        let (from, to, y_text) = (number(x), number(x + 18.0), number(y));
        write!(
            out,
            "<path class=\"{edge}\" d=\"M{from} {y_text}H{to}\"/><path class=\"{tip}\" d=\"M{} {y_text}l-8 -4v8z\"/>",
            number(x + 24.0)
        )
        .expect("text can grow");
        label(out, "caption", x + 30.0, y + 3.5, text);
        x += room;
    }
    y + 20.0
}

//! Spans from public events, over OTLP/HTTP. A listener: whatever happens here, a run goes on.
//!
//! One span per run, state, attempt, probe and undo. A run outlives processes, so no span is kept
//! open in an exporter: [`spans`] makes each when its end is known, with its true times, and all
//! spans of a run share the trace that its name gives, whichever engine wrote them. [`export`]
//! sends them from a thread of its own, drops when the receiver is slow, and never blocks.

pub mod export;
pub mod spans;

pub use export::{Exporter, ExporterError, check_url};
pub use spans::Projector;

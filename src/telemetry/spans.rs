//! From events to spans: a fold of its own, over the same log.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};

use crate::machine::fact::{Direction, End, Found, Left, Millis};
use crate::machine::{Event, Record, Run, RunState};

/// What is open of one run.
#[derive(Debug)]
struct OpenRun {
    trace: TraceId,
    root: SpanId,
    created: Millis,
    application: String,
    state: RunState,
    since: Millis,
    phase: u64,
    attempts: HashMap<(String, Direction), (u32, Millis)>,
    probes: HashMap<String, Millis>,
}

/// Turns events into spans.
#[derive(Debug, Default)]
pub struct Projector {
    runs: HashMap<String, OpenRun>,
}

impl Projector {
    /// A run that began before this engine did: its open span and state are known from the log.
    pub fn seed(&mut self, name: &str, run: &Run) {
        let open = OpenRun {
            state: run.state,
            since: run.since,
            phase: run.sequence,
            ..begin(name, &run.plan.application, run.created)
        };
        self.runs.insert(name.to_owned(), open);
    }

    /// Takes over what another projector knows.
    pub fn merge(&mut self, other: Self) {
        self.runs.extend(other.runs);
    }

    /// Takes an event in; answers the spans that ended with it.
    pub fn take(&mut self, name: &str, record: &Record) -> Vec<SpanData> {
        if let Event::Created { application, .. } = &record.event {
            self.runs.insert(name.to_owned(), begin(name, application, record.at));
            return Vec::new();
        }
        let Some(open) = self.runs.get_mut(name) else { return Vec::new() };
        let spans = open.take(name, record);
        if open.state.is_final() {
            self.runs.remove(name);
        }
        spans
    }
}

/// The trace of a run is its name: every engine that ever executes it finds the same one.
fn begin(name: &str, application: &str, created: Millis) -> OpenRun {
    let digest = Sha256::digest(format!("bascule run {name} {created}"));
    let mut trace = [0; 16];
    trace.copy_from_slice(&digest[..16]);
    OpenRun {
        trace: TraceId::from_bytes(trace),
        root: span_id(name, "run", &created.to_string()),
        created,
        application: application.to_owned(),
        state: RunState::Created,
        since: created,
        phase: 0,
        attempts: HashMap::new(),
        probes: HashMap::new(),
    }
}

fn span_id(run: &str, what: &str, which: &str) -> SpanId {
    let digest = Sha256::digest(format!("bascule span {run} {what} {which}"));
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    SpanId::from_bytes(id)
}

impl OpenRun {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events begin or end no span")]
    fn take(&mut self, name: &str, record: &Record) -> Vec<SpanData> {
        match &record.event {
            Event::Moved { to, .. } => self.moved(name, *to, record.at),
            Event::AttemptIntended { step, attempt, direction, .. } => {
                self.attempts.insert((step.to_string(), *direction), (*attempt, record.at));
                Vec::new()
            }
            Event::AttemptEnded { step, direction, end, .. } => {
                let status = status_of(end);
                self.attempt(name, (step.as_str(), *direction), record.at, status).into_iter().collect()
            }
            Event::OutcomeUnknown { step, direction, failure } => {
                let status = Status::error(format!("unknown: {failure}"));
                self.attempt(name, (step.as_str(), *direction), record.at, status).into_iter().collect()
            }
            Event::ProbeIntended { step, .. } => {
                self.probes.insert(step.to_string(), record.at);
                Vec::new()
            }
            Event::Probed { step, found, .. } => {
                self.probed(name, step.as_str(), found, record.at).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn moved(&mut self, name: &str, to: RunState, at: Millis) -> Vec<SpanData> {
        let which = format!("{} {}", self.phase, self.state);
        let id = span_id(name, "state", &which);
        let mut spans =
            vec![self.span((id, self.root), Cow::Borrowed(self.state.word()), (self.since, at), Status::Ok)];
        self.phase += 1;
        self.state = to;
        self.since = at;
        if to.is_final() {
            let status = match to {
                RunState::Committed | RunState::Accepted => Status::Ok,
                RunState::Refused | RunState::Cancelled | RunState::RolledBack | RunState::ClosedWithResidue => {
                    Status::error(to.word())
                }
                RunState::Created
                | RunState::Checking
                | RunState::Preparing
                | RunState::Prepared
                | RunState::CuttingOver
                | RunState::Observing
                | RunState::Committing
                | RunState::Deciding
                | RunState::RollingBack
                | RunState::Stuck => Status::Unset,
            };
            let mut run =
                self.span((self.root, SpanId::INVALID), Cow::Owned(format!("run {name}")), (self.created, at), status);
            run.attributes.push(KeyValue::new("bascule.outcome", to.word()));
            spans.push(run);
        }
        for span in &mut spans {
            span.attributes.push(KeyValue::new("bascule.run", name.to_owned()));
        }
        spans
    }

    fn attempt(
        &mut self,
        name: &str,
        (step, direction): (&str, Direction),
        at: Millis,
        status: Status,
    ) -> Option<SpanData> {
        let (attempt, since) = self.attempts.remove(&(step.to_owned(), direction))?;
        let (what, title) = match direction {
            Direction::Forward => ("attempt", step.to_owned()),
            Direction::Undo => ("undo", format!("undo {step}")),
        };
        let id = span_id(name, what, &format!("{step} {attempt}"));
        let mut span = self.span((id, self.root), Cow::Owned(title), (since, at), status);
        span.attributes.push(KeyValue::new("bascule.run", name.to_owned()));
        span.attributes.push(KeyValue::new("bascule.step", step.to_owned()));
        span.attributes.push(KeyValue::new("bascule.attempt", i64::from(attempt)));
        Some(span)
    }

    fn probed(&mut self, name: &str, step: &str, found: &Found, at: Millis) -> Option<SpanData> {
        let since = self.probes.remove(step)?;
        let (status, word) = match found {
            Found::Done { .. } => (Status::Ok, "done"),
            Found::NotStarted => (Status::Ok, "not started"),
            Found::InProgress { .. } => (Status::Ok, "in progress"),
            Found::Partial { .. } => (Status::error("partial"), "partial"),
            Found::CannotTell { failure } => (Status::error(failure.to_string()), "cannot tell"),
        };
        let id = span_id(name, "probe", &format!("{step} {since}"));
        let mut span = self.span((id, self.root), Cow::Owned(format!("probe {step}")), (since, at), status);
        span.attributes.push(KeyValue::new("bascule.run", name.to_owned()));
        span.attributes.push(KeyValue::new("bascule.step", step.to_owned()));
        span.attributes.push(KeyValue::new("bascule.found", word));
        Some(span)
    }

    fn span(
        &self,
        (id, parent): (SpanId, SpanId),
        name: Cow<'static, str>,
        times: (Millis, Millis),
        status: Status,
    ) -> SpanData {
        SpanData {
            span_context: SpanContext::new(self.trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name,
            start_time: time(times.0),
            end_time: time(times.1),
            attributes: vec![KeyValue::new("bascule.application", self.application.clone())],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("bascule").build(),
        }
    }
}

fn status_of(end: &End) -> Status {
    match end {
        End::Succeeded { .. } => Status::Ok,
        End::Failed { failure, left } => {
            let effect = if *left == Left::Possible { "with a possible effect" } else { "without an effect" };
            Status::error(format!("failed {effect}: {failure}"))
        }
        End::Cancelled { .. } => Status::error("stopped"),
        End::Unknown { failure } => Status::error(format!("unknown: {failure}")),
    }
}

fn time(at: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0))
}

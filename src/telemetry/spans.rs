//! From events to spans: a fold of its own, over the same log.
//!
//! Ids are computed, never drawn: the trace from the run's name and its creation, a state's span from the moment at
//! which it began. So whichever engine ends a span, it is the one that another engine's spans name as their parent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};

use crate::machine::fact::{Direction, End, Found, Left, Millis};
use crate::machine::{Ending, Event, Record, Run, RunState};

/// Something that began: when, and inside of which span.
#[derive(Debug, Clone, Copy)]
struct Begun {
    number: u32,
    since: Millis,
    parent: SpanId,
}

/// What is open of one run.
#[derive(Debug)]
struct OpenRun {
    trace: TraceId,
    root: SpanId,
    created: Millis,
    application: String,
    state: RunState,
    since: Millis,
    /// When the target was accepted: the run's own span ended there, although a person may still go on.
    accepted: Option<Millis>,
    attempts: HashMap<(String, Direction), Begun>,
    probes: HashMap<String, Begun>,
}

/// Where the log stood when an event was told: `version:hash`, as `audit verify --head` wants it.
pub type LogHead = str;

/// Turns events into spans.
#[derive(Debug, Default)]
pub struct Projector {
    runs: HashMap<String, OpenRun>,
}

impl Projector {
    /// A run that began before this engine did: what was open of it is known from the log.
    pub fn seed(&mut self, name: &str, run: &Run) {
        let mut open = begin(name, &run.plan.application, run.created);
        (open.state, open.since) = (run.state, run.since);
        open.accepted = (run.state == RunState::Accepted).then_some(run.since);
        let phase = open.phase(name);
        for (ix, direction) in &run.live {
            let attempt = match direction {
                Direction::Forward => run.forward(*ix).attempt(),
                Direction::Undo => run.undo(*ix).and_then(|undo| undo.attempt()),
            };
            let Some(attempt) = attempt else { continue };
            // An attempt that is older than the state began in one whose span ended long ago.
            let parent = if attempt.started >= run.since { phase } else { open.root };
            let begun = Begun { number: attempt.number, since: attempt.started, parent };
            open.attempts.insert((run.plan.step(*ix).id.to_string(), *direction), begun);
        }
        self.runs.insert(name.to_owned(), open);
    }

    /// Takes over what another projector knows.
    pub fn merge(&mut self, other: Self) {
        self.runs.extend(other.runs);
    }

    /// Takes an event in; answers the spans that ended with it. The spans of states and runs carry the head of the log,
    /// which is then known outside of the machine that keeps it.
    pub fn take(&mut self, name: &str, head: &LogHead, record: &Record) -> Vec<SpanData> {
        if let Event::Created { application, .. } = &record.event {
            self.runs.insert(name.to_owned(), begin(name, application, record.at));
            return Vec::new();
        }
        let Some(open) = self.runs.get_mut(name) else { return Vec::new() };
        let mut spans = open.take(name, record);
        if open.state.is_final() {
            self.runs.remove(name);
        }
        let moved = matches!(record.event, Event::Moved { .. });
        for span in &mut spans {
            span.attributes.push(KeyValue::new("bascule.run", name.to_owned()));
            if moved {
                span.attributes.push(KeyValue::new("bascule.head", format!("{name}:{head}")));
            }
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
        accepted: None,
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
    /// The span of the state that the run is in.
    fn phase(&self, name: &str) -> SpanId {
        span_id(name, "state", &format!("{} {}", self.state, self.since))
    }

    fn begun(&self, name: &str, number: u32, since: Millis) -> Begun {
        Begun { number, since, parent: self.phase(name) }
    }

    fn take(&mut self, name: &str, record: &Record) -> Vec<SpanData> {
        let at = record.at;
        if let Event::Moved { to, .. } = &record.event {
            return self.moved(name, *to, at);
        }
        if let Event::AttemptIntended { step, attempt, direction, .. } = &record.event {
            let begun = self.begun(name, *attempt, at);
            self.attempts.insert((step.to_string(), *direction), begun);
        } else if let Event::ProbeIntended { step, .. } = &record.event {
            let begun = self.begun(name, 1, at);
            self.probes.insert(step.to_string(), begun);
        } else if let Event::AttemptEnded { step, direction, end, .. } = &record.event {
            return self.attempt(name, (step.as_str(), *direction), at, status_of(end)).into_iter().collect();
        } else if let Event::OutcomeUnknown { step, direction, failure } = &record.event {
            let status = Status::error(format!("unknown: {failure}"));
            return self.attempt(name, (step.as_str(), *direction), at, status).into_iter().collect();
        } else if let Event::Probed { step, found, .. } = &record.event {
            return self.probed(name, step.as_str(), found, at).into_iter().collect();
        }
        Vec::new()
    }

    fn moved(&mut self, name: &str, to: RunState, at: Millis) -> Vec<SpanData> {
        let ended = self.state;
        let phase = (self.phase(name), self.root);
        let mut spans = vec![self.span(phase, Cow::Borrowed(ended.word()), (self.since, at), Status::Unset)];
        (self.state, self.since) = (to, at);
        let status = match to.ending() {
            None => return spans,
            Some(Ending::OnTarget) => Status::Ok,
            Some(Ending::Back | Ending::Untouched | Ending::Residue) => Status::error(to.word()),
        };
        let mut run = match self.accepted {
            None => {
                let whole = (self.root, SpanId::INVALID);
                self.span(whole, Cow::Owned(format!("run {name}")), (self.created, at), status)
            }
            // Its span is out: what came after is one of its own inside of it.
            Some(accepted) => {
                let after = (span_id(name, "after acceptance", &accepted.to_string()), self.root);
                self.span(after, Cow::Owned(format!("run {name}, after acceptance")), (accepted, at), status)
            }
        };
        run.attributes.push(KeyValue::new("bascule.outcome", to.word()));
        spans.push(run);
        if to == RunState::Accepted {
            self.accepted = Some(at);
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
        let begun = self.attempts.remove(&(step.to_owned(), direction))?;
        let (what, title) = match direction {
            Direction::Forward => ("attempt", step.to_owned()),
            Direction::Undo => ("undo", format!("undo {step}")),
        };
        let id = span_id(name, what, &format!("{step} {} {}", begun.number, begun.since));
        let mut span = self.span((id, begun.parent), Cow::Owned(title), (begun.since, at), status);
        span.attributes.push(KeyValue::new("bascule.step", step.to_owned()));
        span.attributes.push(KeyValue::new("bascule.attempt", i64::from(begun.number)));
        Some(span)
    }

    fn probed(&mut self, name: &str, step: &str, found: &Found, at: Millis) -> Option<SpanData> {
        let begun = self.probes.remove(step)?;
        let (status, word) = match found {
            Found::Done { .. } => (Status::Ok, "done"),
            Found::NotStarted => (Status::Ok, "not started"),
            Found::InProgress { .. } => (Status::Ok, "in progress"),
            Found::Partial { .. } => (Status::error("partial"), "partial"),
            Found::CannotTell { failure } => (Status::error(failure.to_string()), "cannot tell"),
        };
        let id = span_id(name, "probe", &format!("{step} {}", begun.since));
        let mut span = self.span((id, begun.parent), Cow::Owned(format!("probe {step}")), (begun.since, at), status);
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
        End::Unknown { failure, .. } => Status::error(format!("unknown: {failure}")),
    }
}

fn time(at: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0))
}

//! Commands to type: how each verb is spelled, and whether the machine would take it now.
//!
//! Nothing is offered that the machine refuses: it is asked, on a copy of the run. So the rules of SEMANTICS have one
//! home, and a command on a screen at night works.

use crate::machine::fact::{Actor, Left};
use crate::machine::run::Run;
use crate::machine::{Draft, Input, Now, Reply, Verb, note_down};

/// The command line that gives a verb.
pub(super) fn command(run: &str, verb: &Verb) -> String {
    let with_role = |text: String, role: &Option<String>| match role {
        Some(role) => format!("{text} --role {role}"),
        None => text,
    };
    let words = match verb {
        Verb::Go => format!("go {run}"),
        Verb::GoAt { at: Some(_) } => format!("go {run} --at TIME"),
        Verb::GoAt { at: None } => format!("go {run} --not-by-itself"),
        Verb::Amend { step, set, .. } => {
            let given: String = set.keys().map(|key| format!(" --set {key}=…")).collect();
            format!("amend {run} {step}{given}")
        }
        Verb::Resume => format!("resume {run}"),
        Verb::Pause => format!("pause {run}"),
        Verb::Extend { step, by_ms } => format!("extend {run} {step} --by {}", minutes(*by_ms)),
        Verb::Retry { step } => format!("retry {run} {step}"),
        Verb::Skip { step } => format!("skip {run} {step}"),
        Verb::Waive { step, role } => with_role(format!("waive {run} {step}"), role),
        Verb::Happened { step, outputs, role } => {
            let given: String = outputs.keys().map(|name| format!(" --output {name}=…")).collect();
            with_role(format!("resolve {run} {step} --happened{given}"), role)
        }
        Verb::DidNotHappen { step } => format!("resolve {run} {step} --did-not-happen"),
        Verb::ItFailed { step, left: Left::Possible } => format!("resolve {run} {step} --failed"),
        Verb::ItFailed { step, left: Left::Nothing } => format!("resolve {run} {step} --failed --nothing-done"),
        Verb::ProbeAgain { step } => format!("resolve {run} {step} --probe"),
        Verb::Approve { step, role } => with_role(format!("approve {run} {step}"), role),
        Verb::Reject { step } => format!("reject {run} {step}"),
        Verb::Cancel => format!("cancel {run}"),
        Verb::Rollback => format!("rollback {run}"),
        Verb::ContinueRollback => format!("rollback {run} --continue"),
        Verb::UndoRetry { step } => format!("undo retry {run} {step}"),
        Verb::UndoWaive { step } => format!("undo waive {run} {step}"),
        Verb::UndoDone { step } => format!("undo done {run} {step}"),
        Verb::WindowExtend { by_ms } => format!("window extend {run} --by {}", minutes(*by_ms)),
        Verb::Commit => format!("commit {run}"),
        Verb::Accept => format!("accept {run}"),
        Verb::Close => format!("close {run}"),
        Verb::ForwardAgain => format!("resolve {run} --forward-again"),
        Verb::GoOn { question } => format!("resolve {run} --go-on {question}"),
        Verb::Note { .. } => format!("note {run} TEXT"),
        Verb::InCharge { .. } => format!("take {run}"),
        Verb::Disarm { criterion, for_ms } => format!("criteria disarm {run} {criterion} --for {}", minutes(*for_ms)),
        Verb::SignOff { role } => format!("sign-off {run} --role {role}"),
        Verb::ConfirmClock => format!("confirm-clock {run}"),
    };
    let why = if verb.wants_reason() { " --reason …" } else { "" };
    format!("bascule {words}{why}")
}

/// `30m`, as the command line takes it.
fn minutes(ms: u64) -> String {
    if ms.is_multiple_of(60_000) { format!("{}m", ms / 60_000) } else { format!("{}s", ms.div_ceil(1000)) }
}

/// Whether somebody executes the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// An engine does, or will without a person's word.
    There,
    /// Nobody does: what is under way is of a dead one.
    Gone,
}

impl Engine {
    /// What is decided is decided for a run with such an engine.
    pub fn draft(self, run: &mut Run, now: Now) -> Draft<'_> {
        let draft = Draft::new(run, now, 1);
        match self {
            Self::There => draft,
            Self::Gone => draft.unattended(),
        }
    }
}

/// Whether the machine takes a verb now, from somebody who may give it.
pub(super) fn is_legal(run: &Run, now: Now, engine: Engine, verb: &Verb) -> bool {
    let mut copy = run.clone();
    let mut draft = engine.draft(&mut copy, now);
    // Not the one who started it: four-eyes rules are about who says it, not about what is legal.
    let by = Actor::named("somebody else");
    matches!(note_down(&mut draft, Input::Verb { verb: verb.clone(), by, reason: Some("…".into()) }), Ok(Reply::Done))
}

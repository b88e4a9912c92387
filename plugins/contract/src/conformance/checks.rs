//! The obligations of an executor, one function each; a function answers with what it saw when
//! the obligation is not kept. Every function works in fresh worlds of its own, so that their
//! order means nothing.

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{CheckCx, Description, Effect, Left, Outcome, ProbeAnswer, Role, Validation};

use super::Subject;
use super::trial::{Action, DISTURBANCES, Disturb, Ended, POINTS, Trial};

type Verdict = Result<(), String>;

/// Runs every check that applies; the name of each that failed, and what was seen.
pub(super) async fn all(subject: &dyn Subject) -> Vec<(&'static str, String)> {
    let description = subject.executor().describe();
    let effect = subject.effect(&subject.fresh().await.with());
    let mut failed = Vec::new();
    let mut note = |check: &'static str, verdict: Verdict| {
        if let Err(detail) = verdict {
            failed.push((check, detail));
        }
    };
    note("describes itself", describes_itself(&description));
    note("refuses unknown parameters", refuses_unknown_parameters(subject).await);
    note("validates without a trace", validates_without_a_trace(subject).await);
    note("succeeds and says what it declares", succeeds(subject, &description).await);
    note("does nothing when it is already cancelled", does_nothing_when_already_cancelled(subject).await);
    note("leaves nothing running when interrupted or cancelled", ends_cleanly(subject).await);
    if effect != Effect::Once {
        note("repeats under the same key", repeats(subject, effect).await);
        note("reaches the same end after an interruption or a cancel", survives(subject, effect).await);
    }
    if description.probes && effect == Effect::Probe {
        note("probes", probes(subject).await);
    }
    if subject.undoes() {
        note("undoes, also twice", undoes(subject).await);
        note("undoes what never ran without a trace", undoes_nothing(subject).await);
        note("undoes what was interrupted", undoes_an_interruption(subject).await);
        note("undoes after an interrupted undo", survives_interrupted_undo(subject).await);
        note("performs again after an undo", performs_again(subject).await);
    }
    failed
}

fn describes_itself(description: &Description) -> Verdict {
    let schema = &description.params;
    ensure(!description.name.is_empty() && !description.name.contains(char::is_whitespace), "its name is no word")?;
    ensure(description.summary.ends_with('.'), "its summary is not a sentence")?;
    ensure(
        schema["$schema"].as_str().is_some_and(|draft| draft.contains("draft-07")),
        "its parameters are not a draft-07 schema: editors read no newer one",
    )?;
    ensure(schema["type"] == "object", "its parameters are not an object")?;
    ensure(schema["additionalProperties"] == false, "its schema lets unknown parameters pass")?;
    for (name, property) in schema["properties"].as_object().unwrap_or(&Map::new()) {
        let said = property["description"].as_str().is_some_and(|text| !text.is_empty());
        ensure(said, format!("its parameter `{name}` has no description"))?;
    }
    for (name, meaning) in description.outputs {
        ensure(!name.is_empty() && !meaning.is_empty(), format!("its output `{name}` has no meaning"))?;
    }
    Ok(())
}

async fn refuses_unknown_parameters(subject: &dyn Subject) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let before = trial.world.fingerprint().await;
    let mut with = trial.with.clone();
    let object = with.as_object_mut().ok_or("its parameters are not an object")?;
    object.insert("noSuchParameter".to_owned(), Value::from(1));
    for role in [Role::Step, Role::Undo] {
        match validate(&trial, &with, role).await {
            Validation::Refused(failure) if failure.to_string().contains("noSuchParameter") => {}
            other @ (Validation::Refused(_) | Validation::Verified | Validation::NotVerified(_)) => {
                return Err(format!("validate, for {role:?}, did not name the unknown parameter: {other:?}"));
            }
        }
    }
    refused("execute", &trial.run_with(Action::Step, &with, Disturb::No).await)?;
    if trial.executor.describe().undoes {
        refused("undo", &trial.run_with(Action::Undo(None), &with, Disturb::No).await)?;
    }
    same("the world after it was refused", &before, &trial.world.fingerprint().await)
}

fn refused(what: &str, ended: &Ended) -> Verdict {
    match &ended.outcome {
        Some(Outcome::Failed { left: Left::Nothing, .. }) => Ok(()),
        other => Err(format!("{what} with an unknown parameter should fail and leave nothing: {other:?}")),
    }
}

async fn validates_without_a_trace(subject: &dyn Subject) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let before = trial.world.fingerprint().await;
    let mut roles = vec![Role::Step];
    if subject.undoes() {
        roles.push(Role::Undo);
    }
    for role in roles {
        if let Validation::Refused(failure) = validate(&trial, &trial.with, role).await {
            return Err(format!("validate, for {role:?}, refuses what succeeds: {failure}"));
        }
        same("the world after validate", &before, &trial.world.fingerprint().await)?;
    }
    Ok(())
}

async fn validate(trial: &Trial, with: &Value, role: Role) -> Validation {
    // Nobody reads what it says; validate must not wait for a reader.
    let (cx, _inbox) = CheckCx::new(None, CancellationToken::new());
    trial.executor.validate(&cx, with, role).await
}

async fn succeeds(subject: &dyn Subject, description: &Description) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let outputs = perform(&trial).await?;
    let outputs = outputs.as_object().ok_or_else(|| format!("its outputs are not an object: {outputs}"))?;
    let free = description.outputs.iter().any(|(name, _)| *name == "*");
    for name in outputs.keys() {
        let declared = free || description.outputs.iter().any(|(declared, _)| declared == name);
        ensure(declared, format!("its output `{name}` is not in its description"))?;
    }
    for (name, _) in description.outputs.iter().filter(|(name, _)| *name != "*") {
        // An output that depends on parameters is null, never absent: expressions need not guess.
        ensure(outputs.contains_key(*name), format!("its declared output `{name}` is missing"))?;
    }
    Ok(())
}

async fn does_nothing_when_already_cancelled(subject: &dyn Subject) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let before = trial.world.fingerprint().await;
    let ended = trial.run(Action::Step, Disturb::Cancel(0)).await;
    match ended.outcome {
        Some(Outcome::Cancelled { left: Left::Nothing }) => {}
        other => return Err(format!("it should answer Cancelled, nothing left: {other:?}")),
    }
    same("the world after a cancelled start", &before, &trial.world.fingerprint().await)
}

async fn ends_cleanly(subject: &dyn Subject) -> Verdict {
    for disturb in DISTURBANCES {
        for point in 0..POINTS {
            let trial = Trial::fresh(subject).await;
            let before = trial.world.fingerprint().await;
            let ended = trial.run(Action::Step, disturb(point)).await;
            honest(&trial, &before, &ended, point).await?;
            let running = trial.left_running().await;
            ensure(running.is_empty(), format!("after {:?} processes {running:?} go on", disturb(point)))?;
            if !ended.disturbed {
                break;
            }
        }
    }
    Ok(())
}

/// Holds an attempt to its word: prompt when cancelled, and nothing there when it says nothing.
async fn honest(trial: &Trial, before: &str, ended: &Ended, point: usize) -> Verdict {
    ensure(ended.prompt, format!("cancelled at point {point} it did not end in time"))?;
    match &ended.outcome {
        Some(Outcome::Cancelled { left: Left::Nothing } | Outcome::Failed { left: Left::Nothing, .. }) => same(
            &format!("the world after it said at point {point} that nothing was left"),
            before,
            &trial.world.fingerprint().await,
        ),
        Some(
            Outcome::Cancelled { left: Left::Possible }
            | Outcome::Failed { left: Left::Possible, .. }
            | Outcome::Succeeded { .. }
            | Outcome::Unknown { .. },
        )
        | None => Ok(()),
    }
}

async fn repeats(subject: &dyn Subject, effect: Effect) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let before = trial.world.fingerprint().await;
    let first = perform(&trial).await?;
    let once = trial.world.fingerprint().await;
    if effect == Effect::None {
        same("the world after a step without effect", &before, &once)?;
    }
    if effect == Effect::Probe {
        return Ok(());
    }
    let second = perform(&trial).await.map_err(|seen| format!("the second time {seen}"))?;
    same("the world after the second time", &once, &trial.world.fingerprint().await)?;
    let keys = |outputs: &Value| outputs.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    ensure(keys(&first) == keys(&second), "the second time it has other outputs")
}

async fn survives(subject: &dyn Subject, effect: Effect) -> Verdict {
    let end = {
        let trial = Trial::fresh(subject).await;
        perform(&trial).await?;
        trial.world.fingerprint().await
    };
    for disturb in DISTURBANCES {
        for point in 0..POINTS {
            let trial = Trial::fresh(subject).await;
            let ended = trial.run(Action::Step, disturb(point)).await;
            if !ended.disturbed {
                break;
            }
            let after = format!("after {:?}", disturb(point));
            recover(&trial, effect).await.map_err(|seen| format!("{after} {seen}"))?;
            same(&format!("the world {after} and a recovery"), &end, &trial.world.fingerprint().await)?;
        }
    }
    Ok(())
}

/// Does what the engine does after an interruption, by the declared effect.
async fn recover(trial: &Trial, effect: Effect) -> Verdict {
    match effect {
        Effect::None | Effect::Idempotent => perform(trial).await.map(drop),
        Effect::Once => Err("is not recovered without a person".to_owned()),
        Effect::Probe => match trial.probe().await {
            ProbeAnswer::Done { .. } => Ok(()),
            ProbeAnswer::NotStarted | ProbeAnswer::InProgress { .. } => perform(trial).await.map(drop),
            ProbeAnswer::Partial { .. } => {
                let ended = trial.run(Action::Undo(None), Disturb::No).await;
                succeeded(&ended).map(drop)?;
                perform(trial).await.map(drop)
            }
            ProbeAnswer::CannotTell { failure } => Err(format!("its probe cannot tell: {failure}")),
        },
    }
}

async fn probes(subject: &dyn Subject) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let before = trial.world.fingerprint().await;
    let found = trial.probe().await;
    ensure(found == ProbeAnswer::NotStarted, format!("before the step its probe says {found:?}"))?;
    same("the world after a probe", &before, &trial.world.fingerprint().await)?;
    perform(&trial).await?;
    let after = trial.world.fingerprint().await;
    let found = trial.probe().await;
    ensure(matches!(found, ProbeAnswer::Done { .. }), format!("after the step its probe says {found:?}"))?;
    same("the world after a probe", &after, &trial.world.fingerprint().await)
}

async fn undoes(subject: &dyn Subject) -> Verdict {
    for knows_outputs in [true, false] {
        let trial = Trial::fresh(subject).await;
        let before = trial.world.fingerprint().await;
        let outputs = perform(&trial).await?;
        let outputs = knows_outputs.then_some(&outputs);
        for time in ["first", "second"] {
            let ended = trial.run(Action::Undo(outputs), Disturb::No).await;
            let told = if knows_outputs { "with" } else { "without" };
            succeeded(&ended).map_err(|seen| format!("the {time} undo, {told} outputs, {seen}"))?;
            let now = trial.world.fingerprint().await;
            same(&format!("the world after the {time} undo, {told} outputs"), &before, &now)?;
        }
    }
    Ok(())
}

async fn undoes_nothing(subject: &dyn Subject) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let before = trial.world.fingerprint().await;
    succeeded(&trial.run(Action::Undo(None), Disturb::No).await)?;
    same("the world after an undo of nothing", &before, &trial.world.fingerprint().await)
}

async fn undoes_an_interruption(subject: &dyn Subject) -> Verdict {
    for point in 0..POINTS {
        let trial = Trial::fresh(subject).await;
        let before = trial.world.fingerprint().await;
        let ended = trial.run(Action::Step, Disturb::Drop(point)).await;
        let undone = trial.run(Action::Undo(None), Disturb::No).await;
        succeeded(&undone).map_err(|seen| format!("interrupted at point {point}, the undo {seen}"))?;
        let now = trial.world.fingerprint().await;
        same(&format!("the world after the undo of a step interrupted at point {point}"), &before, &now)?;
        if !ended.disturbed {
            break;
        }
    }
    Ok(())
}

async fn survives_interrupted_undo(subject: &dyn Subject) -> Verdict {
    for disturb in DISTURBANCES {
        for point in 0..POINTS {
            let trial = Trial::fresh(subject).await;
            let before = trial.world.fingerprint().await;
            let outputs = perform(&trial).await?;
            let first = trial.run(Action::Undo(Some(&outputs)), disturb(point)).await;
            ensure(first.prompt, format!("an undo cancelled at point {point} did not end in time"))?;
            let second = trial.run(Action::Undo(Some(&outputs)), Disturb::No).await;
            let after = format!("after an undo with {:?}", disturb(point));
            succeeded(&second).map_err(|seen| format!("{after} the next undo {seen}"))?;
            same(&format!("the world {after} and another"), &before, &trial.world.fingerprint().await)?;
            if !first.disturbed {
                break;
            }
        }
    }
    Ok(())
}

async fn performs_again(subject: &dyn Subject) -> Verdict {
    let trial = Trial::fresh(subject).await;
    let before = trial.world.fingerprint().await;
    let outputs = perform(&trial).await?;
    succeeded(&trial.run(Action::Undo(Some(&outputs)), Disturb::No).await)?;
    trial.next_generation();
    let outputs = perform(&trial).await.map_err(|seen| format!("after an undo, a new generation {seen}"))?;
    succeeded(&trial.run(Action::Undo(Some(&outputs)), Disturb::No).await)?;
    same("the world after the undo of the second generation", &before, &trial.world.fingerprint().await)
}

/// Performs the step undisturbed; its outputs.
async fn perform(trial: &Trial) -> Result<Value, String> {
    succeeded(&trial.run(Action::Step, Disturb::No).await)
}

fn succeeded(ended: &Ended) -> Result<Value, String> {
    match &ended.outcome {
        Some(Outcome::Succeeded { outputs }) => Ok(outputs.clone()),
        other => Err(format!("did not succeed: {other:?}")),
    }
}

fn same(what: &str, expected: &str, found: &str) -> Verdict {
    ensure(expected == found, format!("{what} differs\n--- expected\n{expected}\n--- found\n{found}"))
}

fn ensure(holds: bool, otherwise: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

//! The words of SEMANTICS that people meet on a screen, each in a few lines: what it means, what to do.

mod glossary;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A state of a run.
    Run,
    /// A state of a step.
    Step,
    /// A state of a criterion.
    Criterion,
    /// What a step does to the world.
    Effect,
    /// A word of runbooks and screens.
    Word,
    /// What the process ends with.
    Exit,
}

impl Kind {
    /// All of them, in the order of the list.
    pub(super) const ALL: [Self; 6] = [Self::Word, Self::Run, Self::Step, Self::Criterion, Self::Effect, Self::Exit];

    /// For data.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Run => "runState",
            Self::Step => "stepState",
            Self::Criterion => "criterionState",
            Self::Effect => "effect",
            Self::Word => "word",
            Self::Exit => "exitCode",
        }
    }

    /// For people.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Run => "States of a run",
            Self::Step => "States of a step",
            Self::Criterion => "States of a rollback criterion",
            Self::Effect => "What a step does to the world",
            Self::Word => "Words",
            Self::Exit => "Exit codes",
        }
    }
}

/// A word and its page.
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) title: &'static str,
    pub(super) page: &'static str,
}

/// The page of a word.
pub(super) fn find(name: &str) -> Option<&'static Topic> {
    // Several of a thing are explained as one.
    let one = if name == "criteria" { "criterion" } else { name.strip_suffix('s').unwrap_or(name) };
    all().find(|topic| topic.name == name).or_else(|| all().find(|topic| topic.name == one))
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Topic> {
    glossary::WORDS.iter().chain(ALL)
}

pub(super) const fn topic(kind: Kind, name: &'static str, title: &'static str, page: &'static str) -> Topic {
    Topic { name, kind, title, page }
}

/// States, effects and exit codes.
const ALL: &[Topic] = &[
    topic(
        Kind::Run,
        "created",
        "accepted and pinned",
        "The plan is stored under its hash and the run has its name. Locks of the run are being taken. Nothing was touched.\n\
         Next: the pre-checks start by themselves.",
    ),
    topic(
        Kind::Run,
        "checking",
        "pre-checks are running",
        "A pre-check that fails is tried again every minute (`retryEvery`) until it passes or the start window (`startBy`) ends.\n\
         Nothing was touched. A person in a role that the check names may waive it: `bascule waive RUN STEP --reason …`.",
    ),
    topic(
        Kind::Run,
        "preparing",
        "preparation steps are running",
        "Copies are seeded and the like. The source serves users as before; no preparation step may take it down.\n\
         `bascule cancel RUN` takes the preparation back.",
    ),
    topic(
        Kind::Run,
        "prepared",
        "preparation is done; a person gives the word",
        "`bascule go RUN` repeats the pre-checks and starts the cutover; `bascule go RUN --at 23:30` lets it begin by itself then. `bascule cancel RUN` takes the preparation back.\n\
         Only the application's own lock is held meanwhile.",
    ),
    topic(
        Kind::Run,
        "cutting_over",
        "cutover steps are running",
        "A step that fails for good makes the run go back by itself (`onFailure: rollback`) or ask (`onFailure: ask`).\n\
         Until the exposing step, users never reach the target, and its data is never copied over the source's.",
    ),
    topic(
        Kind::Run,
        "observing",
        "users are on the target; the window is open",
        "Post-checks and rollback criteria are sampled. If a criterion trips, the run goes back by itself, where the plan has an\n\
         answer for the data that users wrote. When the window closes and every condition is met, the run is accepted.",
    ),
    topic(
        Kind::Run,
        "accepted",
        "the window is over and all was well",
        "The engine no longer acts by itself. The source is kept. `bascule rollback RUN` still goes back;\n\
         `bascule commit RUN` gives up the way back.",
    ),
    topic(
        Kind::Run,
        "committing",
        "commit steps are running",
        "The way back is being given up. From here on nothing rolls back; a failed commit step asks.",
    ),
    topic(
        Kind::Run,
        "deciding",
        "questions are open: a person must answer",
        "`bascule status RUN` shows each question with what happened, whether users are served, what is at stake, and the commands\n\
         that answer it. Silence changes nothing: notices get louder, and the run waits. Criteria go on being sampled.",
    ),
    topic(
        Kind::Run,
        "rolling_back",
        "undos are running",
        "First the restore brings users back, in the order fence, data, source, traffic; when the rollback checks pass, the clean-up\n\
         removes what was built. An undo that fails is tried again; what does not depend on it goes on.",
    ),
    topic(
        Kind::Run,
        "stuck",
        "the restore cannot finish by itself",
        "An undo that users need failed for good, or the source did not pass its checks. What did not depend on it was done. A person:\n\
         repairs, then `bascule undo retry RUN STEP`; or says that it is done, `bascule undo done RUN STEP --reason …`; or goes on\n\
         without it, `bascule undo waive RUN STEP --reason …`; or ends it as it is, `bascule close RUN --reason …`.\n\
         `bascule status RUN` shows which undo it is, and whether users are served.",
    ),
    topic(
        Kind::Run,
        "refused",
        "final: not started, nothing was touched",
        "Something needed was missing, a pre-check said no, an approval was denied or ran out. Preparation, if any, was taken back;\n\
         what was left behind is listed in the report.",
    ),
    topic(
        Kind::Run,
        "cancelled",
        "final: a person called it off before the cutover",
        "Preparation, if any, was taken back; what was left behind is listed in the report.",
    ),
    topic(
        Kind::Run,
        "committed",
        "final: the migration stands, the way back is gone",
        "The source may be taken down when its keeping time is over.",
    ),
    topic(
        Kind::Run,
        "rolled_back",
        "final: the source serves again, verified",
        "Rollback checks passed. What the clean-up could not remove is listed in the report with how to remove it by hand.\n\
         The causes stand in the report, too; a new attempt is a new run.",
    ),
    topic(
        Kind::Run,
        "closed_with_residue",
        "final: a person ended it with things left as they are",
        "The report lists what is still applied, who closed it, why and when.",
    ),
    topic(Kind::Step, "pending", "steps that it needs are not done", "Nothing to do."),
    topic(
        Kind::Step,
        "ready",
        "it may run",
        "It starts at once, or waits for a lock, an approval or a person; `status` says which.",
    ),
    topic(
        Kind::Step,
        "running",
        "an attempt is under way",
        "Elapsed time stands against the estimate. `bascule extend RUN STEP --by 10m --reason …` moves its deadline.",
    ),
    topic(
        Kind::Step,
        "backoff",
        "the last attempt failed; the next one is planned",
        "`bascule retry RUN STEP` does not wait.",
    ),
    topic(
        Kind::Step,
        "waiting",
        "for a lock, an approval, a time or a person",
        "`status` says for what, since when, who holds it, and what happens if nobody acts.",
    ),
    topic(Kind::Step, "succeeded", "done, and verified where the step says how", "Nothing to do."),
    topic(
        Kind::Step,
        "failed",
        "not done",
        "Failed with effect *none*: nothing happened. Failed with effect *possible*: something may have happened, and a rollback undoes it. `bascule retry RUN STEP` tries again; `bascule amend RUN STEP --set KEY=VALUE --reason …` gives it other values first.",
    ),
    topic(
        Kind::Step,
        "unknown",
        "nobody knows whether it happened",
        "Only evidence leads out of it: a probe, the attempt's own late answer, or a person who looked:\n\
         `bascule resolve RUN STEP --happened` or `--did-not-happen`, with `--reason`.",
    ),
    topic(
        Kind::Step,
        "skipped",
        "nobody performs it",
        "Its `when` was false, or a person skipped it. What needs it goes on; its outputs are unknown.",
    ),
    topic(Kind::Step, "not_run", "the run went another way before it", "Nothing to do."),
    topic(Kind::Step, "undone", "taken back, or nothing was to be taken back", "Nothing to do."),
    topic(Kind::Step, "waived", "a person goes on without it", "The report says who and why."),
    topic(Kind::Criterion, "clear", "the last samples are good", "Nothing to do."),
    topic(
        Kind::Criterion,
        "suspect",
        "bad samples, too few to act",
        "Views say when it trips if nothing changes. At the close of the window it leaves the gate unmet.",
    ),
    topic(
        Kind::Criterion,
        "tripped",
        "the condition to go back is met",
        "Inside the window the run goes back by itself, where the plan answers for the data; else it asks.",
    ),
    topic(
        Kind::Criterion,
        "blind",
        "no sample is young enough to say anything",
        "It never rolls back and it never counts as good: it asks. Repair what measures, or disarm it for a while:\n\
         `bascule criteria disarm RUN ID --for 15m --reason …`.",
    ),
    topic(Kind::Effect, "none", "it only looks", "After an interruption it runs again. It needs no undo."),
    topic(
        Kind::Effect,
        "idempotent",
        "twice is the same as once",
        "After an interruption it runs again, with the same idempotency key, as a new attempt.",
    ),
    topic(
        Kind::Effect,
        "probe",
        "it can be asked whether it happened",
        "After an interruption the probe decides: done, not started, in progress, partial, or *cannot tell*, which asks a person.",
    ),
    topic(
        Kind::Effect,
        "once",
        "nothing is known of it: the default of every command",
        "After an interruption its outcome is unknown, and a person decides: it is never run a second time by itself.",
    ),
    topic(Kind::Exit, "exit_0", "done", "Accepted or committed, or the verb did what it says."),
    topic(Kind::Exit, "exit_1", "error", "The message says what happened, why, and what to do next."),
    topic(Kind::Exit, "exit_2", "wrong usage", "`bascule VERB --help` shows how the verb is used."),
    topic(Kind::Exit, "exit_3", "rolled back", "The source serves again, verified. The report says why."),
    topic(
        Kind::Exit,
        "exit_4",
        "refused or cancelled",
        "Nothing was touched, or only preparation, which was taken back.",
    ),
    topic(
        Kind::Exit,
        "exit_5",
        "a person must act",
        "A question, a stuck rollback, a failed pre-check, the word to go, an approval. `bascule status RUN` shows the commands.",
    ),
    topic(
        Kind::Exit,
        "exit_6",
        "interrupted, resumable",
        "`bascule resume` goes on. Nothing is lost: every step's end is in the journal.",
    ),
    topic(
        Kind::Exit,
        "exit_7",
        "closed with residue",
        "A person ended the run; the report lists what is still applied.",
    ),
    topic(
        Kind::Exit,
        "exit_8",
        "not everything could be verified",
        "A dry run lists what it could not verify; a plan lists the inputs that are missing and where to give them.",
    ),
    topic(
        Kind::Exit,
        "exit_9",
        "invalid document",
        "Every problem was shown with its place; `bascule explain CODE` says more.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::RunState;

    #[test]
    fn every_run_state_has_its_page() {
        use RunState as S;
        let all = [
            S::Created,
            S::Checking,
            S::Preparing,
            S::Prepared,
            S::CuttingOver,
            S::Observing,
            S::Accepted,
            S::Committing,
            S::Deciding,
            S::RollingBack,
            S::Stuck,
            S::Refused,
            S::Cancelled,
            S::Committed,
            S::RolledBack,
            S::ClosedWithResidue,
        ];
        for state in all {
            assert!(find(state.word()).is_some_and(|topic| topic.kind == Kind::Run), "{state} is not explained");
        }
    }

    #[test]
    fn every_command_on_a_page_exists() {
        use clap::Parser as _;
        let commands =
            |page: &'static str| page.split('`').skip(1).step_by(2).filter(|text| text.starts_with("bascule "));
        let mut seen = 0;
        for command in all().flat_map(|topic| commands(topic.page)) {
            // `VERB` stands for any verb.
            let words = command.replace('…', "x").replace("VERB", "run").replace('\n', " ");
            let words: Vec<&str> = words.split_whitespace().collect();
            if words.len() < 3 {
                // A verb that is only named.
                continue;
            }
            if let Err(error) = crate::cli::Cli::try_parse_from(&words) {
                assert!(!error.use_stderr(), "`{command}`: {error}");
            }
            seen += 1;
        }
        assert!(seen > 10, "the pages name commands");
    }

    #[test]
    fn every_exit_code_has_its_page() {
        for code in 0..=9 {
            assert!(find(&format!("exit_{code}")).is_some(), "exit code {code} is not explained");
        }
    }
}

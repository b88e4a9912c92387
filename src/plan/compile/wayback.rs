//! The way back as a whole: nobody is sent to a source that is down, and every undo can be reached.

use super::context::Context;
use super::expand::Draft;
use crate::plan::policy::OnWindowClose;
use crate::plan::rollback::{self, DroppedEdge, RollbackOrder};
use crate::plan::sealed::{Plan, StepIx};
use crate::plan::step::{Section, Step, Undo};
use crate::runbook::codes;
use crate::runbook::model::{StepDef, UndoAction, UndoDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::Span;

/// Checks the sealed plan.
pub(super) fn check(cx: &mut Context<'_>, drafts: &[Draft<'_>], plan: &Plan, back: &RollbackOrder) {
    let way = Way { drafts, plan };
    way.users_reach_a_source_that_is_up(cx);
    way.exposure_is_undone_in_the_restore(cx);
    way.preparation_leaves_the_source_up(cx);
    way.undo_needs_name_undos(cx);
    way.undos_do_not_wait_in_a_circle(cx, back);
    way.window_commits_nothing_irreversible(cx);
    cx.problems.extend(cx.shelf.overriding());
}

struct Way<'d, 'a> {
    drafts: &'d [Draft<'a>],
    plan: &'d Plan,
}

impl Way<'_, '_> {
    /// Drafts and steps stand in the same order: both are sorted by section, stably.
    fn draft(&self, ix: StepIx) -> &Draft<'_> {
        &self.drafts[ix]
    }

    /// Whether somebody wrote an undo that cannot be used: what is wrong with it was said where it is written.
    fn has_lost_its_undo(&self, ix: StepIx) -> bool {
        let draft = self.draft(ix);
        let is_written = undo_of(draft).is_some() || draft.def().is_some_and(|def| def.flawed);
        is_written && self.plan.step(ix).undo_action().is_none()
    }

    fn users_reach_a_source_that_is_up(&self, cx: &mut Context<'_>) {
        let Some(exposing) = self.plan.exposing().filter(|ix| is_restored(self.plan.step(*ix))) else { return };
        for ix in self.plan.section(Section::Cutover) {
            let step = self.plan.step(ix);
            if !step.takes_source_down || is_restored(step) || ix == exposing || self.has_lost_its_undo(ix) {
                continue;
            }
            let (name, users) = (&self.draft(ix).name.value, &self.draft(exposing).name.value);
            let why = match &step.undo {
                Undo::Irreversible => "it is irreversible",
                Undo::Nothing { .. } => "it has no undo",
                Undo::Action(_) => "its undo is clean-up, which comes after users are back",
            };
            let message =
                format!("the way back would send users to a source that is not up: `{name}` takes it down, and {why}");
            let problem = Problem::new(codes::USERS_TO_DEAD_SOURCE, message)
                .also(self.draft(exposing).span(), format!("the undo of `{users}` sends users to the source"))
                .help(format!("give `{name}` an undo that starts the source again, without `cleanup: true`"));
            let problem = self.draft(ix).blame(problem, "takes the source down");
            cx.problem(problem);
        }
    }

    fn exposure_is_undone_in_the_restore(&self, cx: &mut Context<'_>) {
        let Some(exposing) = self.plan.exposing() else { return };
        let Some(cleanup) = undo_of(self.draft(exposing)).and_then(|undo| undo.cleanup).filter(|cleanup| cleanup.value)
        else {
            return;
        };
        let problem = Problem::new(
            codes::EXPOSURE_UNDONE_LATE,
            "users would be brought back by clean-up, which comes after users are back",
        )
        .at(cleanup.span, "remove this")
        .also(self.draft(exposing).span(), "exposes the target");
        cx.problem(problem);
    }

    fn preparation_leaves_the_source_up(&self, cx: &mut Context<'_>) {
        for ix in self.plan.section(Section::Prepare).filter(|ix| self.plan.step(*ix).takes_source_down) {
            let message = format!("`{}` takes the source down and stands in `prepareSteps`", self.draft(ix).name.value);
            let problem = Problem::new(codes::PREPARE_TAKES_SOURCE_DOWN, message)
                .note("preparation runs before the change window, while users work on the source")
                .help("move it to `cutoverSteps`");
            let problem = self.draft(ix).blame(problem, "takes the source down");
            cx.problem(problem);
        }
    }

    fn undo_needs_name_undos(&self, cx: &mut Context<'_>) {
        for draft in self.drafts.iter().filter(|draft| draft.section.is_undone()) {
            for name in undo_of(draft).and_then(|undo| undo.needs.as_ref()).into_iter().flat_map(|needs| &needs.value) {
                let other = self.plan.find(&name.value.as_ref().into()).map(|ix| self.plan.step(ix));
                let message = match other {
                    Some(other) if other.undo_action().is_some() && other.section.is_undone() => continue,
                    Some(_)
                        if self.plan.find(&name.value.as_ref().into()).is_some_and(|ix| self.has_lost_its_undo(ix)) =>
                    {
                        continue;
                    }
                    None if cx.lost.contains(&name.value) => continue,
                    Some(_) => format!("`{}` has no undo that could end first", name.value),
                    None => format!("no step is called `{}`", name.value),
                };
                let with_undo = self.drafts.iter().filter(|draft| undo_of(draft).is_some());
                let mut problem = Problem::new(codes::UNKNOWN_UNDO_NEED, message).at(name.span, "no undo");
                if other.is_none() {
                    problem = problem.suggest(&name.value, with_undo.map(|draft| &*draft.name.value));
                }
                cx.problem(problem);
            }
        }
    }

    fn undos_do_not_wait_in_a_circle(&self, cx: &mut Context<'_>, back: &RollbackOrder) {
        for edge in back.dropped.iter().filter(|edge| edge.because == rollback::CIRCLE) {
            let (undo, after) = (&self.draft(edge.undo).name.value, &self.draft(edge.after).name.value);
            let problem = Problem::new(
                codes::CYCLE,
                format!("undos wait for each other: that of `{undo}` needs that of `{after}`, which waits for it"),
            )
            .at(self.place_of(edge), "closes the circle")
            .also(self.draft(edge.after).span(), "is undone later")
            .note(
                "the undo of a step waits for the undos of all steps that need it, unless it says `undo.needs` itself",
            )
            .help(format!("remove it, or write `undo: {{ needs: […] }}` for `{after}` too"));
            cx.problem(problem);
        }
    }

    fn place_of(&self, edge: &DroppedEdge) -> Span {
        let draft = self.draft(edge.undo);
        let after = &self.draft(edge.after).name.value;
        let needs = undo_of(draft).and_then(|undo| undo.needs.as_ref());
        let written = needs.and_then(|needs| needs.value.iter().find(|name| name.value == *after));
        written.map_or(draft.span(), |name| name.span)
    }

    fn window_commits_nothing_irreversible(&self, cx: &mut Context<'_>) {
        if self.plan.policies.on_window_close != OnWindowClose::Commit {
            return;
        }
        let place = cx.settings.on_window_close.as_ref().map(|close| close.span);
        for ix in self.plan.section(Section::Commit).filter(|ix| self.plan.step(*ix).is_irreversible()) {
            let name = &self.draft(ix).name.value;
            let mut problem = Problem::new(
                codes::COMMIT_IRREVERSIBLE,
                format!("the window would commit `{name}`, which cannot be taken back"),
            )
            .note("only a person passes the point of no return")
            .help("write `onWindowClose: accept`, and commit by hand");
            problem = self.draft(ix).blame(problem, "irreversible");
            if let Some(span) = place {
                problem = problem.also(span, "commits by itself");
            }
            cx.problem(problem);
        }
    }
}

fn is_restored(step: &Step) -> bool {
    step.undo_action().is_some_and(|undo| !undo.cleanup)
}

fn undo_of<'d>(draft: &'d Draft<'_>) -> Option<&'d UndoAction> {
    let def: &StepDef = draft.def()?;
    match def.undo.as_ref().map(|undo| &undo.value) {
        Some(UndoDef::Action(action)) => Some(action),
        Some(UndoDef::None) | None => None,
    }
}

//! The one step with which users first can reach the target.

use super::context::Context;
use super::expand::Draft;
use crate::plan::step::{Section, Step};
use crate::runbook::codes;
use crate::runbook::problem::Problem;

/// Finds it, or assumes it where only one step can be meant.
pub(super) fn settle(cx: &mut Context<'_>, drafts: &[Draft<'_>], steps: &mut [Step]) {
    let written: Vec<usize> = (0..steps.len()).filter(|ix| steps[*ix].exposes).collect();
    for ix in written.iter().filter(|ix| steps[**ix].section != Section::Cutover) {
        let key = steps[*ix].section.key();
        let problem = Problem::new(
            codes::EXPOSES_ELSEWHERE,
            format!("`{}` exposes the target and stands in `{key}`", drafts[*ix].name.value),
        )
        .help("only a step of `cutoverSteps` can bring users to the target");
        let problem = drafts[*ix].blame(problem, "not a cutover step");
        cx.problem(problem);
    }
    let written: Vec<usize> = written.into_iter().filter(|ix| steps[*ix].section == Section::Cutover).collect();
    match written.as_slice() {
        // The one that says so may be what could not be read, or found.
        [] if cx.is_flawed(drafts) => {}
        [] => assume(cx, drafts, steps),
        [only] => refuse_skippable(cx, drafts, steps, *only),
        [first, rest @ ..] => {
            let mut problem = Problem::new(codes::TWO_EXPOSING_STEPS, format!("{} steps expose the target", written.len()))
                .at(drafts[*first].span(), "the first one")
                .note("the window opens once, when users first can reach the target; a weighted shift exposes with its first step")
                .help("write `exposes: false` for all but one");
            for ix in rest {
                problem = problem.also(drafts[*ix].span(), "exposes too");
            }
            cx.problem(problem);
        }
    }
}

fn assume(cx: &mut Context<'_>, drafts: &[Draft<'_>], steps: &mut [Step]) {
    let cutover: Vec<usize> = (0..steps.len()).filter(|ix| steps[*ix].section == Section::Cutover).collect();
    let mut is_needed = std::collections::HashSet::new();
    for ix in &cutover {
        is_needed.extend(steps[*ix].needs.iter().map(|need| need.step.clone()));
    }
    // Where somebody wrote `exposes: false`, it is not assumed.
    let may = |ix: usize| {
        !drafts[ix].is_approval() && drafts[ix].def().is_some_and(|def| def.exposes.is_none_or(|exposes| exposes.value))
    };
    let ends: Vec<usize> = cutover.into_iter().filter(|ix| !is_needed.contains(&steps[*ix].id)).collect();
    match ends.as_slice() {
        [] => {}
        [only] if may(*only) => {
            let name = &drafts[*only].name.value;
            let problem = Problem::warning(
                codes::EXPOSURE_ASSUMED,
                format!("`{name}` is taken for the step that exposes the target"),
            )
            .at(drafts[*only].span(), "the last step")
            .note("no step says `exposes: true`, and all others come before this one")
            .help("write `exposes: true` at the step with which users first can reach the target");
            cx.problem(problem);
            steps[*only].exposes = true;
            refuse_skippable(cx, drafts, steps, *only);
        }
        [first, rest @ ..] => {
            let mut problem =
                Problem::new(codes::NO_EXPOSING_STEP, "no step says with which users first can reach the target")
                    .at(drafts[*first].span(), "it could be this one")
                    .help("write `exposes: true` at that step");
            for ix in rest {
                problem = problem.also(drafts[*ix].span(), "or this one");
            }
            cx.problem(problem);
        }
    }
}

fn refuse_skippable(cx: &mut Context<'_>, drafts: &[Draft<'_>], steps: &[Step], ix: usize) {
    let Some(when) = drafts[ix].def().and_then(|def| def.when.as_ref()).filter(|_| steps[ix].when.is_some()) else {
        return;
    };
    let problem = Problem::new(
        codes::EXPOSING_STEP_SKIPPABLE,
        format!("`{}` exposes the target and could be skipped", drafts[ix].name.value),
    )
    .at(when.span, "may be false")
    .also(drafts[ix].span(), "exposes the target")
    .note("without exposure there is no window, and nothing could be judged")
    .help("remove `when`, or move what depends on it into a step before");
    cx.problem(problem);
}

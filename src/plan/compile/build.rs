//! Drafts become steps: every key is read, every default is filled in, nothing is connected yet.

use std::collections::BTreeMap;

use super::bind::{self, Binding, Params};
use super::calls::{self, expr};
use super::context::Context;
use super::expand::{Body, Draft};
use super::results::{self, Asked};
use super::uses::check_inputs;
use super::{ExecutorInfo, undo};
use crate::plan::defaults;
use crate::plan::policy::{Approval, Escalation, LockClaim, Manual};
use crate::plan::step::{CheckPolicy, Effect, OnTimeout, Origin, Probe, Proof, Retry, Section, Step, StepId, StepKind};
use crate::runbook::codes;
use crate::runbook::model::{self, ApprovalDef, Data, ManualDef, Millis, ProbeDef, RetryDef, StepDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Spanned, Text};
use crate::runbook::words::spelling;

/// Builds all steps, in the order of the drafts: one step for each draft.
pub(super) fn steps<'a>(cx: &mut Context<'a>, drafts: &[Draft<'a>]) -> Vec<Step> {
    drafts.iter().map(|draft| step(cx, draft)).collect()
}

fn step<'a>(cx: &mut Context<'a>, draft: &Draft<'a>) -> Step {
    match &draft.body {
        Body::Approval(def) => {
            let kind = StepKind::Approval(approval(def));
            let mut step = Step::bare(draft.id.clone(), draft.section, kind);
            step.effect = Effect::None;
            step.retry = defaults::ONE_ATTEMPT;
            step.origin.description = words(def.description.as_ref());
            step
        }
        Body::Action(def) => action(cx, draft, def, None),
        Body::Manual(manual, def) => action(cx, draft, def, Some(manual)),
    }
}

/// A draft with everything that its keys rest on.
pub(super) struct Definition<'d, 'a> {
    pub(super) draft: &'d Draft<'a>,
    pub(super) def: &'d StepDef,
    pub(super) params: Params,
    /// Its executor; absent for what a person performs.
    pub(super) info: Option<&'a ExecutorInfo>,
}

fn action<'a>(cx: &mut Context<'a>, draft: &Draft<'a>, def: &StepDef, manual: Option<&ManualDef>) -> Step {
    // Inputs that a catalog uses are asked for, not blamed on the runbook.
    check_inputs(cx, &draft.uses, &draft.name.value, draft.base.is_none());
    cx.secrets.extend(draft.uses.secrets.iter().cloned());
    let params = bind::bind(
        cx,
        &Binding {
            user: &draft.name.value,
            declares: def.declares.as_deref(),
            base: draft.base.map(|base| base.at),
            given: &draft.params,
            uses: &draft.uses,
        },
    );
    let (kind, info) = match manual {
        Some(manual) => (Some(StepKind::Manual(by_hand(cx, manual, &params))), None),
        None => performed(cx, draft, def, &params),
    };
    let is_usable = kind.is_some();
    // A step without a usable executor was reported; the rest of it is checked all the same.
    let nobody = || {
        StepKind::Manual(Manual {
            instructions: String::new(),
            answer: BTreeMap::new(),
            roles: Vec::new(),
            deadline_ms: None,
            default: None,
        })
    };
    let mut step = Step::bare(draft.id.clone(), draft.section, kind.unwrap_or_else(nobody));
    let made = Definition { draft, def, params, info };
    fill(cx, &made, &mut step);
    if is_usable {
        step.undo = undo::undo(cx, &made, step.effect);
    }
    step
}

fn fill(cx: &mut Context<'_>, made: &Definition<'_, '_>, step: &mut Step) {
    let Definition { draft, def, params, info } = made;
    step.effect = effect(cx, draft, def, info.map(|info| info.effect));
    step.origin = origin(cx, draft, def);
    step.when = expr(def.when.as_ref());
    step.moves_data = flag(def.moves_data);
    step.takes_source_down = flag(def.takes_source_down);
    step.exposes = flag(def.exposes);
    step.retry_partial = flag(def.retry_partial);
    step.estimate_ms = millis(def.estimate);
    step.timeout_ms =
        millis(def.timeout).unwrap_or_else(|| defaults::timeout_beyond_ms(draft.section, step.estimate_ms));
    // What may be nearly done is not thrown away because an estimate was short.
    // Nor does work by hand fail because nobody said in time that it is done, unless its author wrote that.
    let by_hand = matches!(step.kind, StepKind::Manual(_));
    let may_be_far = by_hand || step.moves_data || info.is_some_and(|info| info.progress) && !draft.section.is_check();
    let asks = if may_be_far { OnTimeout::Ask } else { OnTimeout::Fail };
    step.on_timeout = def.on_timeout.map_or(asks, |on| on.value);
    step.retry = retry(def.retry.as_ref(), defaults::retry(draft.section, step.effect));
    step.probe = probe(cx, made, step.effect);
    step.verify = def.verify.as_ref().and_then(|verify| calls::verify(cx, verify, def.uses.as_ref(), params));
    step.keep_fresh_ms = millis(def.keep_fresh);
    step.locks = locks(cx, def.locks.as_ref().map_or(&[][..], |locks| &locks.value), params);
    step.check = check(def, draft.section);
    step.rehearsal = def.rehearsal.as_ref().and_then(|rehearsal| rehearsal.with.as_ref()).map(Data::to_json);
}

type Performed<'a> = (Option<StepKind>, Option<&'a ExecutorInfo>);

fn performed<'a>(cx: &mut Context<'a>, draft: &Draft<'_>, def: &StepDef, params: &Params) -> Performed<'a> {
    let Some(uses) = &def.uses else {
        if def.flawed {
            return (None, None);
        }
        let problem =
            Problem::new(codes::NO_EXECUTOR, format!("`{}` says nothing that could be run", draft.name.value))
                .help("name an executor with `uses:`, or a catalog's definition with `step:`");
        let problem = draft.blame(problem, "needs `uses`");
        cx.problem(problem);
        return (None, None);
    };
    let of = (uses, def.with.as_ref());
    results::check(cx, def.pass.as_ref(), of, Asked::Pass);
    for (_, captured) in def.baseline.iter().flatten() {
        results::check(cx, Some(captured), of, Asked::Baseline);
    }
    match calls::call(cx, uses, def.with.as_ref(), params) {
        Some((call, info)) => (Some(StepKind::Action(call)), Some(info)),
        None => (None, None),
    }
}

fn effect(cx: &mut Context<'_>, draft: &Draft<'_>, def: &StepDef, of_executor: Option<Effect>) -> Effect {
    let written = def.effect.as_ref();
    if !draft.section.is_check() {
        return written.map_or(of_executor.unwrap_or(Effect::Once), |effect| effect.value);
    }
    if let Some(effect) = written.filter(|effect| effect.value != Effect::None) {
        let key = draft.section.key();
        let problem = Problem::new(
            codes::CHECK_WITH_EFFECT,
            format!("`{}` has an effect and stands in `{key}`", draft.name.value),
        )
        .at(draft.span(), "checks only look")
        .also(effect.span, format!("effect `{}`", spelling(effect.value)))
        .help("move it to `prepareSteps` or `cutoverSteps`, or write `effect: none` if it only looks");
        cx.problem(problem);
    }
    Effect::None
}

fn origin(cx: &Context<'_>, draft: &Draft<'_>, def: &StepDef) -> Origin {
    let catalog = draft.base.map(|base| cx.shelf.at(base.at));
    Origin {
        catalog: catalog.map(|source| source.name.to_owned()),
        verified: catalog.and_then(|source| words(source.catalog.verified.as_ref())),
        description: words(def.description.as_ref()),
        side: def.side.as_ref().map(|side| spelling(side.value).to_owned()),
        layer: def.layer.as_ref().map(|layer| spelling(layer.value).to_owned()),
    }
}

fn probe(cx: &mut Context<'_>, made: &Definition<'_, '_>, effect: Effect) -> Option<Probe> {
    let Definition { draft, def, params, info } = made;
    let is_native = info.is_some_and(|info| info.probes);
    match def.probe.as_ref().map(|probe| (&probe.value, probe.span)) {
        None if effect != Effect::Probe => None,
        None if is_native => Some(Probe::Native),
        None if def.flawed || def.uses.is_some() && info.is_none() => None,
        Some((ProbeDef::Native, _)) if is_native => Some(Probe::Native),
        Some((ProbeDef::Call { uses, with, done }, span)) => {
            let Some((uses, done)) = uses.as_ref().or(def.uses.as_ref()).zip(done.as_ref()) else {
                let problem =
                    Problem::new(codes::MISSING_PROBE, "the probe cannot tell").at(span, "needs `uses` and `done`");
                cx.problem(problem);
                return None;
            };
            let (call, _) = calls::call(cx, uses, with.as_ref(), params)?;
            results::check(cx, Some(done), (uses, with.as_ref()), Asked::Done);
            Some(Probe::Call { call, done: done.value.clone() })
        }
        None | Some((ProbeDef::Native, _)) => {
            let name = &draft.name.value;
            let problem = Problem::new(codes::MISSING_PROBE, format!("`{name}` has effect `probe` and no probe"))
                .note("its executor cannot tell by itself whether an interrupted attempt happened")
                .help("add `probe: { uses: …, with: {…}, done: … }`, or declare another effect");
            let problem = draft.blame(problem, "needs a probe");
            cx.problem(problem);
            None
        }
    }
}

fn check(def: &StepDef, section: Section) -> CheckPolicy {
    let by_section = |wanted: Section, default: u64| (section == wanted).then_some(default);
    CheckPolicy {
        pass: expr(def.pass.as_ref()),
        valid_for_ms: millis(def.valid_for),
        retry_every_ms: millis(def.retry_every).or(by_section(Section::PreCheck, defaults::PRE_CHECK_RETRY_EVERY_MS)),
        every_ms: millis(def.every).or(by_section(Section::PostCheck, defaults::POST_CHECK_EVERY_MS)),
        by_ms: millis(def.by),
        recheck: flag(def.recheck),
        waivable_by: def.waivable_by.as_ref().map_or_else(Vec::new, |roles| texts(&roles.value)),
        baseline: def
            .baseline
            .iter()
            .flatten()
            .map(|(name, expr)| (name.value.to_string(), expr.value.clone()))
            .collect(),
        proves: def.proves.map(|proof: Spanned<Proof>| proof.value),
    }
}

pub(super) fn locks(cx: &Context<'_>, claims: &[model::LockClaim], params: &Params) -> Vec<LockClaim> {
    let scope = cx.scope_with(params);
    claims
        .iter()
        .map(|claim| LockClaim {
            name: bind::settle_text(&scope, &claim.name.value).into_owned(),
            take: claim.take.map(|take| take.value),
        })
        .collect()
}

fn approval(def: &ApprovalDef) -> Approval {
    Approval {
        roles: def.roles.as_ref().map_or_else(Vec::new, |roles| texts(&roles.value)),
        quorum: def.quorum.map_or(1, |quorum| quorum.value),
        not_requester: flag(def.not_requester),
        expires_ms: millis(def.expires),
        remind_every_ms: millis(def.remind_every),
        escalate: def
            .escalate
            .iter()
            .map(|rung| Escalation { after_ms: rung.after.value.0, to: rung.to.value.to_string() })
            .collect(),
        relayed: flag(def.relayed),
        names: def.names.iter().flat_map(|names| &names.value).map(|name| StepId::from(name.value.clone())).collect(),
    }
}

fn by_hand(cx: &Context<'_>, manual: &ManualDef, params: &Params) -> Manual {
    Manual {
        instructions: bind::settle_text(&cx.scope_with(params), &manual.instructions.value).into_owned(),
        answer: manual
            .answer
            .iter()
            .map(|(name, kind)| (name.value.to_string(), spelling(kind.value).to_owned()))
            .collect(),
        roles: manual.roles.as_ref().map_or_else(Vec::new, |roles| texts(&roles.value)),
        deadline_ms: millis(manual.def.timeout),
        default: manual
            .default
            .as_ref()
            .map(|default| default.iter().map(|(name, value)| (name.value.to_string(), value.to_json())).collect()),
    }
}

/// What is written of attempts and pauses, over what holds otherwise.
pub(super) fn retry(written: Option<&RetryDef>, otherwise: Retry) -> Retry {
    let Some(written) = written else { return otherwise };
    let backoff_ms = millis(written.backoff).unwrap_or(otherwise.backoff_ms);
    Retry {
        attempts: written.attempts.map_or(otherwise.attempts, |attempts| attempts.value.max(1)),
        backoff_ms,
        max_backoff_ms: millis(written.max_backoff).unwrap_or(otherwise.max_backoff_ms).max(backoff_ms),
    }
}

pub(super) fn millis(written: Option<Spanned<Millis>>) -> Option<u64> {
    written.map(|length| length.value.0)
}

pub(super) fn flag(written: Option<Spanned<bool>>) -> bool {
    written.is_some_and(|flag| flag.value)
}

pub(super) fn words(text: Option<&Text>) -> Option<String> {
    text.map(|text| text.value.to_string())
}

fn texts(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| text.value.to_string()).collect()
}

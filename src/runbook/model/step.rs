//! Steps, checks and criteria as they are written: in a list of a runbook, or in a catalog.
//!
//! One type serves both places, and the overlay too, so that one can be laid over another, key by key.

use super::{Bindings, Data, Millis};
use crate::runbook::expr::Expr;
use crate::runbook::source::{Span, Spanned, Text};
use crate::runbook::words::{CriterionAction, Effect, Layer, OnTimeout, ParamType, Proof, Side};

/// One entry of a list of steps.
#[derive(Debug, Clone)]
pub enum Entry {
    /// `- name` or `- name: { param: value }`: the definition comes from a catalog.
    Named {
        /// The catalog's name, and the step's.
        name: Text,
        /// Values for the definition's parameters.
        params: Bindings,
        /// The whole entry.
        span: Span,
    },
    /// A map with `id`: defined here, or with `step:` a catalog's definition under another name and with
    /// single fields replaced. Its `id` is always there.
    Inline(Box<StepDef>),
    /// `- approval: name`: people decide.
    Approval(Box<ApprovalDef>),
    /// `- manual: instructions`: a person performs it.
    Manual(Box<ManualDef>),
}

impl Entry {
    /// The step's name and its place.
    #[must_use]
    pub fn id(&self) -> Option<&Text> {
        match self {
            Self::Named { name, .. } => Some(name),
            Self::Inline(def) => def.id.as_ref(),
            Self::Approval(def) => Some(&def.id),
            Self::Manual(def) => def.def.id.as_ref(),
        }
    }

    /// The whole entry.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Named { span, .. } => *span,
            Self::Inline(def) => def.span,
            Self::Approval(def) => def.span,
            Self::Manual(def) => def.def.span,
        }
    }
}

/// All keys that a step can have, in a runbook, a catalog or an overlay. Absent keys are `None`.
#[derive(Debug, Clone)]
pub struct StepDef {
    /// The whole map.
    pub span: Span,
    /// The step's name; in a catalog and an overlay the key of the map.
    pub id: Option<Text>,
    /// The catalog definition that it is laid over (only in lists).
    pub step: Option<Text>,
    /// One sentence.
    pub description: Option<Text>,
    /// The platform that it works on (only in catalogs).
    pub side: Option<Spanned<Side>>,
    /// The part of the platform (only in catalogs).
    pub layer: Option<Spanned<Layer>>,
    /// Parameters that the definition takes (only in catalogs).
    pub declares: Option<Vec<(Text, ParamDef)>>,
    /// Values for a definition's parameters (lists with `step:`, overlays).
    pub params: Option<Bindings>,
    /// The executor.
    pub uses: Option<Text>,
    /// Its parameters: a map.
    pub with: Option<Data>,
    /// What comes before it; replaces the implied sequence. Empty: nothing.
    pub needs: Option<Spanned<Vec<Text>>>,
    /// False skips it.
    pub when: Option<Spanned<Expr>>,
    /// What it does to the world.
    pub effect: Option<Spanned<Effect>>,
    /// When an attempt runs out of time.
    pub timeout: Option<Spanned<Millis>>,
    /// What happens then.
    pub on_timeout: Option<Spanned<OnTimeout>>,
    /// Automatic attempts.
    pub retry: Option<RetryDef>,
    /// How an interrupted attempt is judged.
    pub probe: Option<Spanned<ProbeDef>>,
    /// A call whose success proves the step.
    pub verify: Option<VerifyDef>,
    /// The way back.
    pub undo: Option<Spanned<UndoDef>>,
    /// Why there is no undo (`undo: none`).
    pub reason: Option<Text>,
    /// It cannot be taken back.
    pub irreversible: Option<Spanned<bool>>,
    /// Users lose the source while and after it runs.
    pub takes_source_down: Option<Spanned<bool>>,
    /// It copies the application's data.
    pub moves_data: Option<Spanned<bool>>,
    /// The first moment any user can reach the target.
    pub exposes: Option<Spanned<bool>>,
    /// A partial result may be undone and tried again without asking.
    pub retry_partial: Option<Spanned<bool>>,
    /// Repeated this often while the run is prepared.
    pub keep_fresh: Option<Spanned<Millis>>,
    /// How long it takes.
    pub estimate: Option<Spanned<Millis>>,
    /// Locks taken per attempt.
    pub locks: Option<Spanned<Vec<LockClaim>>>,
    /// Other values for a rehearsal.
    pub rehearsal: Option<RehearsalDef>,
    /// Checks: what `result` must be; absent: success is enough.
    pub pass: Option<Spanned<Expr>>,
    /// Checks: how long a pass counts.
    pub valid_for: Option<Spanned<Millis>>,
    /// Checks: pause before a failed pre-check runs again.
    pub retry_every: Option<Spanned<Millis>>,
    /// Checks: distance of samples of a post-check or readiness check.
    pub every: Option<Spanned<Millis>>,
    /// Checks: time after exposure by which a post-check must have passed.
    pub by: Option<Spanned<Millis>>,
    /// Checks: runs again at `go` and before the cut, whatever its age.
    pub recheck: Option<Spanned<bool>>,
    /// Checks: roles that may waive it.
    pub waivable_by: Option<Spanned<Vec<Text>>>,
    /// Checks: values captured before the cut, by name, from `result`.
    pub baseline: Option<Vec<(Text, Spanned<Expr>)>>,
    /// Checks: the condition of a safe end that it proves.
    pub proves: Option<Spanned<Proof>>,
    /// Something in it could not be read: a key that seems to be absent may have been meant.
    pub flawed: bool,
}

/// A parameter that a catalog, or one of its definitions, takes.
#[derive(Debug, Clone)]
pub struct ParamDef {
    /// The whole declaration.
    pub span: Span,
    /// Its type; any value if absent.
    pub kind: Option<Spanned<ParamType>>,
    /// Whether it must be given.
    pub required: Option<Spanned<bool>>,
    /// Its value if it is not given.
    pub default: Option<Data>,
    /// One sentence.
    pub description: Option<Text>,
}

/// Attempts and pauses.
#[derive(Debug, Clone)]
pub struct RetryDef {
    /// The whole map.
    pub span: Span,
    /// In all, the first included.
    pub attempts: Option<Spanned<u32>>,
    /// The first pause; doubles.
    pub backoff: Option<Spanned<Millis>>,
    /// The longest pause.
    pub max_backoff: Option<Spanned<Millis>>,
}

/// How an interrupted attempt is judged.
#[derive(Debug, Clone)]
pub enum ProbeDef {
    /// `probe: native`: the executor knows by itself.
    Native,
    /// A call, and what its `result` must be for *done*.
    Call {
        /// The executor.
        uses: Option<Text>,
        /// Its parameters.
        with: Option<Data>,
        /// True: done. False: not started. Unknown: cannot tell.
        done: Option<Spanned<Expr>>,
    },
}

/// A call whose success proves something.
#[derive(Debug, Clone)]
pub struct VerifyDef {
    /// The whole map.
    pub span: Span,
    /// The executor.
    pub uses: Option<Text>,
    /// Its parameters.
    pub with: Option<Data>,
    /// What its `result` must be; absent: success is enough.
    pub pass: Option<Spanned<Expr>>,
}

/// The way back of a step.
#[derive(Debug, Clone)]
pub enum UndoDef {
    /// `undo: none`, with `reason:` beside it.
    None,
    /// An action.
    Action(Box<UndoAction>),
}

/// The reverse action of a step.
#[derive(Debug, Clone)]
pub struct UndoAction {
    /// The whole map.
    pub span: Span,
    /// The executor; absent: the step's own executor undoes.
    pub uses: Option<Text>,
    /// Its parameters.
    pub with: Option<Data>,
    /// Removes what was built; starts only when users are back.
    pub cleanup: Option<Spanned<bool>>,
    /// A clean-up that moves aside instead of deleting.
    pub keep: Option<Spanned<bool>>,
    /// `once` is the stated exception; undos are repeatable.
    pub effect: Option<Spanned<Effect>>,
    /// Steps whose undos end first; replaces the reverse edges.
    pub needs: Option<Spanned<Vec<Text>>>,
    /// How long it takes.
    pub estimate: Option<Spanned<Millis>>,
    /// When an attempt is interrupted.
    pub timeout: Option<Spanned<Millis>>,
    /// Attempts and pauses.
    pub retry: Option<RetryDef>,
    /// What must hold after it.
    pub verify: Option<VerifyDef>,
    /// What a person does if the tool is dead.
    pub by_hand: Option<Text>,
}

/// Other values for a rehearsal.
#[derive(Debug, Clone)]
pub struct RehearsalDef {
    /// The whole map.
    pub span: Span,
    /// Replaces keys of the step's `with`.
    pub with: Option<Data>,
}

/// What is held.
#[derive(Debug, Clone)]
pub struct LockClaim {
    /// `app:…`, `vm:…`, `host:…`, `datastore:…`, `link:…`; may hold `${{ … }}`.
    pub name: Text,
    /// How much of the declared capacity, in its unit (bytes for sizes); absent: all of it.
    pub take: Option<Spanned<u64>>,
}

/// `- approval: name`.
#[derive(Debug, Clone)]
pub struct ApprovalDef {
    /// The whole map.
    pub span: Span,
    /// Its name.
    pub id: Text,
    /// One sentence for those who are asked.
    pub description: Option<Text>,
    /// Any of these roles.
    pub roles: Option<Spanned<Vec<Text>>>,
    /// How many different people.
    pub quorum: Option<Spanned<u32>>,
    /// The one who started the run does not count.
    pub not_requester: Option<Spanned<bool>>,
    /// Then the answer is no.
    pub expires: Option<Spanned<Millis>>,
    /// Distance of reminders.
    pub remind_every: Option<Spanned<Millis>>,
    /// Who is told when nobody answers.
    pub escalate: Vec<EscalationDef>,
    /// Whether somebody may relay a decision given by telephone.
    pub relayed: Option<Spanned<bool>>,
    /// Irreversible steps that it lets pass.
    pub names: Option<Spanned<Vec<Text>>>,
    /// What comes before it; replaces the implied sequence.
    pub needs: Option<Spanned<Vec<Text>>>,
}

/// One rung of an approval's ladder.
#[derive(Debug, Clone)]
pub struct EscalationDef {
    /// Counted from the question.
    pub after: Spanned<Millis>,
    /// A role.
    pub to: Text,
}

/// `- manual: instructions`.
#[derive(Debug, Clone)]
pub struct ManualDef {
    /// What to do.
    pub instructions: Text,
    /// Answer fields: name → type.
    pub answer: Vec<(Text, Spanned<ParamType>)>,
    /// The answer that counts when nobody gave one in time.
    pub default: Option<Bindings>,
    /// Who may do it; empty: anybody.
    pub roles: Option<Spanned<Vec<Text>>>,
    /// Every other key of a step. `id` is always there (made from the instructions if it is not written);
    /// `uses`, `with`, `step`, `params`, `retry` and `probe` never are.
    pub def: StepDef,
}

/// Somebody who must say that the application is theirs from now on.
#[derive(Debug, Clone)]
pub struct SignOffDef {
    /// The role.
    pub role: Text,
    /// What they say.
    pub what: Text,
    /// The condition of a safe end that it proves; `ownership` if absent.
    pub proves: Option<Spanned<Proof>>,
}

/// One entry of `rollbackCriteria`.
#[derive(Debug, Clone)]
pub enum CriterionEntry {
    /// The definition comes from a catalog.
    Named {
        /// Its name.
        name: Text,
        /// Values for the definition's parameters.
        params: Bindings,
        /// The whole entry.
        span: Span,
    },
    /// A map with `id`: defined here, or with `criterion:` laid over a catalog's definition.
    Inline(Box<CriterionDef>),
}

impl CriterionEntry {
    /// The criterion's name and its place.
    #[must_use]
    pub fn id(&self) -> Option<&Text> {
        match self {
            Self::Named { name, .. } => Some(name),
            Self::Inline(def) => def.id.as_ref(),
        }
    }

    /// The whole entry.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Named { span, .. } => *span,
            Self::Inline(def) => def.span,
        }
    }
}

/// All keys that a criterion can have, in a runbook, a catalog or an overlay.
#[derive(Debug, Clone)]
pub struct CriterionDef {
    /// The whole map.
    pub span: Span,
    /// Its name; in a catalog and an overlay the key of the map.
    pub id: Option<Text>,
    /// The catalog definition that it is laid over (only in lists).
    pub criterion: Option<Text>,
    /// One sentence.
    pub description: Option<Text>,
    /// The platform that it looks at (only in catalogs).
    pub side: Option<Spanned<Side>>,
    /// The part of the platform (only in catalogs).
    pub layer: Option<Spanned<Layer>>,
    /// Parameters that the definition takes (only in catalogs).
    pub declares: Option<Vec<(Text, ParamDef)>>,
    /// Values for a definition's parameters.
    pub params: Option<Bindings>,
    /// The executor.
    pub uses: Option<Text>,
    /// Its parameters.
    pub with: Option<Data>,
    /// Planned distance of samples.
    pub every: Option<Spanned<Millis>>,
    /// Time after exposure before the first sample counts.
    pub warm_up: Option<Spanned<Millis>>,
    /// When a sample is interrupted.
    pub timeout: Option<Spanned<Millis>>,
    /// False or unknown makes a sample inconclusive.
    pub valid: Option<Spanned<Expr>>,
    /// True is a fail, false a pass.
    pub trip: Option<Spanned<Expr>>,
    /// Trip rule: this many fails in a row.
    pub consecutive: Option<Spanned<u32>>,
    /// Trip rule: an unbroken run of fails this long.
    pub sustained_for: Option<Spanned<Millis>>,
    /// Trip rule: `fail` of the newest `of`.
    pub ratio: Option<Spanned<RatioDef>>,
    /// Samples needed before the gate can be met.
    pub min_samples: Option<Spanned<u32>>,
    /// Without a pass or fail younger than this it is blind.
    pub max_age: Option<Spanned<Millis>>,
    /// What a trip does.
    pub action: Option<Spanned<CriterionAction>>,
    /// Never acts.
    pub observe_only: Option<Spanned<bool>>,
    /// Something in it could not be read: a key that seems to be absent may have been meant.
    pub flawed: bool,
}

/// `ratio: { fail: 3, of: 10 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatioDef {
    /// Fails that trip.
    pub fail: u32,
    /// Samples looked at.
    pub of: u32,
}

//! What holds where nobody wrote anything. The one home of every default of a plan.

use super::policy::{DataAnswer, OnFailure, OnWindowClose, Policies, WindowFrom};
use super::step::{CheckPolicy, Effect, OnTimeout, Origin, Retry, Section, Step, StepId, StepKind, Undo};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// When an attempt of an action is interrupted.
pub const ACTION_TIMEOUT_MS: u64 = 10 * MINUTE;
/// When an attempt of a check is interrupted.
pub const CHECK_TIMEOUT_MS: u64 = MINUTE;
/// A timeout that nobody wrote is at least this many times the estimate.
pub const ESTIMATES_UNTIL_TIMEOUT: u64 = 3;
/// When a sample of a criterion is interrupted; never longer than its `every`.
pub const SAMPLE_TIMEOUT_MS: u64 = 30 * SECOND;
/// Distance of a criterion's samples.
pub const CRITERION_EVERY_MS: u64 = 30 * SECOND;
/// Time after exposure before a criterion's samples count.
pub const WARM_UP_MS: u64 = 2 * MINUTE;
/// A criterion is blind without a sample younger than this many times `every`.
pub const MAX_AGE_SAMPLES: u64 = 3;
/// Samples needed before the gate can be met.
pub const MIN_SAMPLES: u32 = 1;
/// Pause before a failed pre-check runs again.
pub const PRE_CHECK_RETRY_EVERY_MS: u64 = MINUTE;
/// Pause between tries of a post-check.
pub const POST_CHECK_EVERY_MS: u64 = 30 * SECOND;
/// Distance of `rollbackReady` checks.
pub const READY_EVERY_MS: u64 = 5 * MINUTE;
/// How long running attempts may take to stop before undoing begins.
pub const SETTLE_MS: u64 = MINUTE;
/// After a restart a rollback goes on by itself within this time.
pub const AUTO_CONTINUE_MS: u64 = 10 * MINUTE;
/// The rollback window of a runbook that names none.
pub const WINDOW_MS: u64 = 60 * MINUTE;

/// Undos are repeatable: they get more tries than anything else.
pub const UNDO_RETRY: Retry = Retry { attempts: 5, backoff_ms: 2 * SECOND, max_backoff_ms: MINUTE };
/// Steps that may be repeated without harm.
pub const SAFE_RETRY: Retry = Retry { attempts: 3, backoff_ms: 10 * SECOND, max_backoff_ms: 2 * MINUTE };
/// Steps of which nothing is known are tried once.
pub const ONE_ATTEMPT: Retry = Retry { attempts: 1, backoff_ms: 10 * SECOND, max_backoff_ms: 2 * MINUTE };

/// Automatic attempts of a step that says nothing of them.
#[must_use]
pub fn retry(section: Section, effect: Effect) -> Retry {
    match section {
        // On the way back users wait: what it rests on is tried as often as an undo.
        Section::Fence | Section::RollbackCheck => return UNDO_RETRY,
        Section::PreCheck
        | Section::Prepare
        | Section::Cutover
        | Section::PostCheck
        | Section::Ready
        | Section::Commit => {}
    }
    match effect {
        Effect::None | Effect::Idempotent => SAFE_RETRY,
        Effect::Probe | Effect::Once => ONE_ATTEMPT,
    }
}

/// When an attempt is interrupted that says nothing of it.
#[must_use]
pub fn timeout_ms(section: Section) -> u64 {
    if section.is_check() { CHECK_TIMEOUT_MS } else { ACTION_TIMEOUT_MS }
}

/// The same for something that takes an estimated time: what takes as long as was said is not
/// interrupted.
#[must_use]
pub fn timeout_beyond_ms(section: Section, estimate_ms: Option<u64>) -> u64 {
    timeout_ms(section).max(estimate_ms.unwrap_or(0).saturating_mul(ESTIMATES_UNTIL_TIMEOUT))
}

impl Step {
    /// A step that says nothing but its name, its place and what performs it.
    #[must_use]
    pub fn bare(id: StepId, section: Section, kind: StepKind) -> Self {
        let effect = if section.is_check() { Effect::None } else { Effect::Once };
        Self {
            id,
            section,
            origin: Origin::default(),
            kind,
            needs: Vec::new(),
            when: None,
            effect,
            timeout_ms: timeout_ms(section),
            on_timeout: OnTimeout::Fail,
            retry: retry(section, effect),
            probe: None,
            verify: None,
            undo: Undo::Nothing { reason: None },
            takes_source_down: false,
            moves_data: false,
            exposes: false,
            retry_partial: false,
            keep_fresh_ms: None,
            estimate_ms: None,
            locks: Vec::new(),
            check: CheckPolicy::default(),
            rehearsal: None,
        }
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            window_ms: WINDOW_MS,
            window_from: WindowFrom::Exposure,
            on_window_close: OnWindowClose::Accept,
            keep_source_ms: None,
            change: None,
            downtime_budget_ms: None,
            data: DataAnswer::Unanswered,
            on_failure: OnFailure::Rollback,
            resume_within_ms: None,
            auto_continue_within_ms: AUTO_CONTINUE_MS,
            settle_within_ms: SETTLE_MS,
            start_by_ms: None,
            ready_every_ms: READY_EVERY_MS,
        }
    }
}

//! The names of events, as they stand in the log, and the steps that they are about.

use super::event::Event;
use super::fact::LockScope;
use crate::plan::StepId;

impl Event {
    /// The name under which the event stands in the log.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line per event")]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Owned { .. } => "owned",
            Self::Moved { .. } => "moved",
            Self::LocksRequested { .. } => "locksRequested",
            Self::LocksGranted { .. } => "locksGranted",
            Self::LocksAwaited { .. } => "locksAwaited",
            Self::LocksNarrowed => "locksNarrowed",
            Self::Held { .. } => "held",
            Self::Resumed => "resumed",
            Self::GoGiven => "goGiven",
            Self::GoPlanned { .. } => "goPlanned",
            Self::GoMissed => "goMissed",
            Self::Asked { .. } => "asked",
            Self::Closed { .. } => "closed",
            Self::Noted { .. } => "noted",
            Self::InCharge { .. } => "inCharge",
            Self::Amended { .. } => "amended",
            Self::AttemptIntended { .. } => "attemptIntended",
            Self::HandleRecorded { .. } => "handleRecorded",
            Self::Interrupted { .. } => "interrupted",
            Self::AttemptEnded { .. } => "attemptEnded",
            Self::LateResult { .. } => "lateResult",
            Self::RetryPlanned { .. } => "retryPlanned",
            Self::Readied { .. } => "readied",
            Self::OutcomeUnknown { .. } => "outcomeUnknown",
            Self::ProbeIntended { .. } => "probeIntended",
            Self::Probed { .. } => "probed",
            Self::Skipped { .. } => "skipped",
            Self::Waiting { .. } => "waiting",
            Self::Answered { .. } => "answered",
            Self::Resolved { .. } => "resolved",
            Self::Extended { .. } => "extended",
            Self::Overrun { .. } => "overrun",
            Self::TimeShort { .. } => "timeShort",
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
            Self::IrreversibleApproved { .. } => "irreversibleApproved",
            Self::BaselineCaptured { .. } => "baselineCaptured",
            Self::WindowOpened { .. } => "windowOpened",
            Self::WindowExtended { .. } => "windowExtended",
            Self::WindowExpired { .. } => "windowExpired",
            Self::GateJudged { .. } => "gateJudged",
            Self::SamplePlanned { .. } => "samplePlanned",
            Self::Sampled { .. } => "sampled",
            Self::CriterionMoved { .. } => "criterionMoved",
            Self::Disarmed { .. } => "disarmed",
            Self::Armed { .. } => "armed",
            Self::SignedOff { .. } => "signedOff",
            Self::WayBack { .. } => "wayBack",
            Self::RollbackDecided { .. } => "rollbackDecided",
            Self::RollbackOrdered { .. } => "rollbackOrdered",
            Self::PartialUndoOrdered { .. } => "partialUndoOrdered",
            Self::UndoNotNeeded { .. } => "undoNotNeeded",
            Self::UndoWaived { .. } => "undoWaived",
            Self::UndoDoneByHand { .. } => "undoDoneByHand",
            Self::UndoLeftToPerson { .. } => "undoLeftToPerson",
            Self::UndoReadied { .. } => "undoReadied",
            Self::UndoFailed { .. } => "undoFailed",
            Self::ServiceRestored => "serviceRestored",
            Self::RollbackContinued => "rollbackContinued",
            Self::ClockJumped { .. } => "clockJumped",
            Self::ClockConfirmed => "clockConfirmed",
            Self::StoreGap { .. } => "storeGap",
            Self::TurnBackPlanned { .. } => "turnBackPlanned",
            Self::TurnBackNear => "turnBackNear",
            Self::TurnBackReached => "turnBackReached",
            Self::TurnBackWaived => "turnBackWaived",
            Self::ForwardAgain => "forwardAgain",
            Self::Residue { .. } => "residue",
        }
    }

    /// The one step that the event is about, if it is about one.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line per event")]
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::LocksRequested { scope } | Self::LocksGranted { scope } | Self::LocksAwaited { scope, .. } => {
                match scope {
                    LockScope::Run | LockScope::Rest => None,
                    LockScope::Step(step) => Some(step),
                }
            }
            Self::Amended { step, .. }
            | Self::AttemptIntended { step, .. }
            | Self::HandleRecorded { step, .. }
            | Self::Interrupted { step, .. }
            | Self::AttemptEnded { step, .. }
            | Self::LateResult { step, .. }
            | Self::RetryPlanned { step, .. }
            | Self::Readied { step, .. }
            | Self::OutcomeUnknown { step, .. }
            | Self::ProbeIntended { step, .. }
            | Self::Probed { step, .. }
            | Self::Skipped { step, .. }
            | Self::Waiting { step, .. }
            | Self::Answered { step, .. }
            | Self::Resolved { step, .. }
            | Self::Extended { step, .. }
            | Self::Overrun { step, .. }
            | Self::TimeShort { step, .. }
            | Self::Approved { step, .. }
            | Self::Denied { step, .. }
            | Self::IrreversibleApproved { step }
            | Self::PartialUndoOrdered { step }
            | Self::UndoNotNeeded { step, .. }
            | Self::UndoWaived { step }
            | Self::UndoDoneByHand { step }
            | Self::UndoLeftToPerson { step }
            | Self::UndoReadied { step }
            | Self::UndoFailed { step, .. } => Some(step),
            Self::LocksNarrowed
            | Self::Created { .. }
            | Self::Owned { .. }
            | Self::Moved { .. }
            | Self::Held { .. }
            | Self::Resumed
            | Self::GoGiven
            | Self::GoPlanned { .. }
            | Self::GoMissed
            | Self::Asked { .. }
            | Self::Closed { .. }
            | Self::Noted { .. }
            | Self::InCharge { .. }
            | Self::BaselineCaptured { .. }
            | Self::WindowOpened { .. }
            | Self::WindowExtended { .. }
            | Self::WindowExpired { .. }
            | Self::GateJudged { .. }
            | Self::SamplePlanned { .. }
            | Self::Sampled { .. }
            | Self::CriterionMoved { .. }
            | Self::Disarmed { .. }
            | Self::Armed { .. }
            | Self::SignedOff { .. }
            | Self::WayBack { .. }
            | Self::RollbackDecided { .. }
            | Self::RollbackOrdered { .. }
            | Self::ServiceRestored
            | Self::RollbackContinued
            | Self::ClockJumped { .. }
            | Self::ClockConfirmed
            | Self::StoreGap { .. }
            | Self::TurnBackPlanned { .. }
            | Self::TurnBackNear
            | Self::TurnBackReached
            | Self::TurnBackWaived
            | Self::ForwardAgain
            | Self::Residue { .. } => None,
        }
    }
}

//! The states of a run, and the questions about a state that more than one place asks: each is answered here, by a full
//! match, so that a new state is met once. What only one place wants to know is matched there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The states of a run. SEMANTICS §3 has the table of moves; `RunState::may_become` holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// Accepted and pinned.
    Created,
    /// Pre-checks run.
    Checking,
    /// Preparation runs.
    Preparing,
    /// Waiting for the word.
    Prepared,
    /// Cutover steps run.
    CuttingOver,
    /// Post-checks and criteria, window open.
    Observing,
    /// The engine no longer acts by itself; the source is kept.
    Accepted,
    /// Commit steps run.
    Committing,
    /// Questions are open.
    Deciding,
    /// Undos run.
    RollingBack,
    /// The restore cannot finish alone.
    Stuck,
    /// Final: nothing was touched, or only preparation, undone.
    Refused,
    /// Final: as refused, on a person's word.
    Cancelled,
    /// Final: the way back is gone.
    Committed,
    /// Final: the source serves, verified.
    RolledBack,
    /// Final: a person closed it.
    ClosedWithResidue,
}

impl RunState {
    /// Every one of them, in the order of a run.
    const ALL: [Self; 16] = [
        Self::Created,
        Self::Checking,
        Self::Preparing,
        Self::Prepared,
        Self::CuttingOver,
        Self::Observing,
        Self::Accepted,
        Self::Committing,
        Self::Deciding,
        Self::RollingBack,
        Self::Stuck,
        Self::Refused,
        Self::Cancelled,
        Self::Committed,
        Self::RolledBack,
        Self::ClosedWithResidue,
    ];

    /// How the run came out, once nothing happens to it any more without a person's word: every final state, and
    /// `accepted`.
    #[must_use]
    pub fn ending(self) -> Option<Ending> {
        match self {
            Self::Accepted | Self::Committed => Some(Ending::OnTarget),
            Self::RolledBack => Some(Ending::Back),
            Self::Refused | Self::Cancelled => Some(Ending::Untouched),
            Self::ClosedWithResidue => Some(Ending::Residue),
            Self::Created
            | Self::Checking
            | Self::Preparing
            | Self::Prepared
            | Self::CuttingOver
            | Self::Observing
            | Self::Committing
            | Self::Deciding
            | Self::RollingBack
            | Self::Stuck => None,
        }
    }

    /// No event changes it any more, but notes.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Accepted && self.ending().is_some()
    }

    /// Whether steps on the way forward are started in it by themselves, unless the run is held. A prepared run waits
    /// for the word.
    #[must_use]
    pub fn starts_steps(self) -> bool {
        match self {
            Self::Created | Self::Checking | Self::Preparing | Self::CuttingOver | Self::Committing => true,
            Self::Prepared
            | Self::Observing
            | Self::Accepted
            | Self::Deciding
            | Self::RollingBack
            | Self::Stuck
            | Self::Refused
            | Self::Cancelled
            | Self::Committed
            | Self::RolledBack
            | Self::ClosedWithResidue => false,
        }
    }

    /// The state of which this is the word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// The word of SEMANTICS, for people and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Checking => "checking",
            Self::Preparing => "preparing",
            Self::Prepared => "prepared",
            Self::CuttingOver => "cutting_over",
            Self::Observing => "observing",
            Self::Accepted => "accepted",
            Self::Committing => "committing",
            Self::Deciding => "deciding",
            Self::RollingBack => "rolling_back",
            Self::Stuck => "stuck",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::ClosedWithResidue => "closed_with_residue",
        }
    }

    /// The moves that exist. Everything else is a bug of ours and stops the run.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        use RunState as S;
        if to == S::ClosedWithResidue {
            return !self.is_final();
        }
        match self {
            S::Created => matches!(to, S::Checking | S::Refused | S::Cancelled),
            S::Checking => {
                matches!(to, S::Preparing | S::Prepared | S::CuttingOver | S::Refused | S::Cancelled | S::Deciding)
            }
            S::Preparing | S::Prepared => {
                matches!(to, S::CuttingOver | S::Prepared | S::Refused | S::Cancelled | S::Deciding | S::RollingBack)
            }
            S::CuttingOver => matches!(to, S::Observing | S::Refused | S::Cancelled | S::RollingBack | S::Deciding),
            S::Observing => matches!(to, S::Accepted | S::RollingBack | S::Deciding),
            S::Accepted => matches!(to, S::Committing | S::Committed | S::RollingBack),
            S::Committing => matches!(to, S::Committed | S::Deciding),
            S::Deciding => !matches!(to, S::Created | S::RolledBack | S::Committed | S::Deciding),
            S::RollingBack => matches!(to, S::RolledBack | S::Stuck | S::Deciding | S::Cancelled | S::Refused),
            S::Stuck => matches!(to, S::RollingBack),
            S::Refused | S::Cancelled | S::Committed | S::RolledBack | S::ClosedWithResidue => false,
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Users are on the target.
    OnTarget,
    /// Users are back on the source, verified.
    Back,
    /// Users never left the source.
    Untouched,
    /// A person closed it with what was left applied.
    Residue,
}

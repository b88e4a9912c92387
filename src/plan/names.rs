//! From a name that a person typed to the step that it means.
//!
//! Ids of fence steps and of the checks of the way back carry their list as a prefix (`fence:stop_writes`), because one
//! definition may stand in several lists. People know the name, not the prefix. It must never guess between two steps.
//! Start with [`Plan::step_named`].

use super::sealed::{Plan, StepIx};
use super::step::{Step, StepId};
use crate::runbook::problem::nearest;

/// A name that means no step, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchStep {
    /// No step bears it.
    #[error("the plan has no step `{name}`")]
    Unknown {
        /// As it was typed.
        name: String,
        /// The nearest one that there is.
        near: Option<StepId>,
    },
    /// Several lists have a step of this name.
    #[error("`{name}` may mean {}", list(among))]
    Several {
        /// As it was typed.
        name: String,
        /// Their ids.
        among: Vec<StepId>,
    },
}

impl NoSuchStep {
    /// What to type instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { near: Some(near), .. } => {
                format!("did you mean `{near}`? `bascule status` lists the steps")
            }
            Self::Unknown { near: None, .. } => "`bascule status` lists the steps".to_owned(),
            Self::Several { .. } => "give the name with the list that it stands in".to_owned(),
        }
    }
}

fn list(ids: &[StepId]) -> String {
    let quoted: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    quoted.join(" or ")
}

impl Plan {
    /// The step that a typed name means: its id, or its plain name where one step bears it. Where several do, the only
    /// one that `wanted` picks.
    ///
    /// # Errors
    /// No step bears the name, or several do.
    pub fn step_named(&self, name: &str, wanted: impl Fn(&Step) -> bool) -> Result<StepIx, NoSuchStep> {
        let id = StepId::from(name);
        if let Some(ix) = self.find(&id) {
            return Ok(ix);
        }
        let plain =
            |step: &Step| step.id.as_str().strip_prefix(step.section.id_prefix()).is_some_and(|own| own == name);
        let bear: Vec<StepIx> = (0..self.steps.len()).filter(|ix| plain(self.step(*ix))).collect();
        let picked: Vec<StepIx> = bear.iter().copied().filter(|ix| wanted(self.step(*ix))).collect();
        match (bear.as_slice(), picked.as_slice()) {
            ([only], _) | (_, [only]) => Ok(*only),
            ([], _) => {
                let near = nearest(name, self.steps.iter().map(|step| step.id.as_str())).map(StepId::from);
                Err(NoSuchStep::Unknown { name: name.to_owned(), near })
            }
            (several, _) => {
                let among = several.iter().map(|ix| self.step(*ix).id.clone()).collect();
                Err(NoSuchStep::Several { name: name.to_owned(), among })
            }
        }
    }
}

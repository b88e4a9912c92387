//! Steps that many plans have in common, kept once.
//!
//! Ten thousand runs of one catalog have ten thousand plans, and nearly the same steps in all of them. Start at
//! [`SharedSteps::share`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::plan::{Step, StepId};

/// How many different steps of one name are looked at. Beyond that sharing would cost more than it saves.
const MOST: usize = 4;

/// The steps of the plans in memory. A step that no plan has any more is forgotten.
#[derive(Debug, Default)]
pub(super) struct SharedSteps {
    known: Mutex<HashMap<StepId, Vec<Weak<Step>>>>,
}

impl SharedSteps {
    /// The step of another plan that equals this one, or this one.
    pub(super) fn share(&self, step: &Arc<Step>) -> Arc<Step> {
        let candidates: Vec<Arc<Step>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&step.id).into_iter().flatten().filter_map(Weak::upgrade).collect()
        };
        if let Some(same) = candidates.into_iter().find(|known| known == step) {
            return same;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_name = known.entry(step.id.clone()).or_default();
        of_name.retain(|known| known.strong_count() > 0);
        if of_name.len() < MOST {
            of_name.push(Arc::downgrade(step));
        }
        step.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Call;
    use crate::plan::step::{Section, StepKind};

    fn step(uses: &str) -> Arc<Step> {
        let call = Call { uses: uses.into(), with: Arc::default(), params: Arc::default() };
        Arc::new(Step::bare("copy".into(), Section::Cutover, StepKind::Action(call)))
    }

    #[test]
    fn equal_steps_are_kept_once_and_different_ones_apart() {
        let shared = SharedSteps::default();
        let first = shared.share(&step("noop"));
        assert!(Arc::ptr_eq(&first, &shared.share(&step("noop"))));
        let other = shared.share(&step("wait"));
        assert_eq!(other.id, first.id);
        assert_ne!(other, first, "the same name is not the same step");
        drop((first, other));
        let again = step("noop");
        assert!(Arc::ptr_eq(&again, &shared.share(&again)), "what nobody has any more is forgotten");
    }
}

//! Applications that others need: whether one went back while nobody could be told.
//!
//! A run that goes back tells those that need its application. One that was decided without an engine, or by an engine
//! that died before it told them, is found here. It must never decide what follows: start with
//! [`Engine::requirements_gone`].

use std::collections::HashMap;

use super::adopt::Engine;
use crate::machine::fact::Millis;
use crate::machine::run_state::Ending;
use crate::machine::{Input, Run};
use crate::store::RunName;

impl Engine {
    /// News for a run of each application that it needs and that is on its way back, or went back. `known` keeps what
    /// was read for other runs. What the run heard of already it takes for no news.
    pub(super) async fn requirements_gone(&self, run: &Run, known: &mut HashMap<String, Option<Millis>>) -> Vec<Input> {
        let mut news = Vec::new();
        for needed in &run.plan.requires {
            let decided = match known.get(&needed.app) {
                Some(decided) => *decided,
                None => self.went_back(&needed.app).await,
            };
            known.insert(needed.app.clone(), decided);
            news.extend(decided.map(|decided| Input::RequirementRolledBack { app: needed.app.clone(), decided }));
        }
        news
    }

    /// When the newest run of an application that touched anything decided to go back. One that was refused or cancelled
    /// says nothing of those before it.
    async fn went_back(&self, app: &str) -> Option<Millis> {
        let newest = self.numbers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(app).copied()?;
        for number in (1..=newest).rev() {
            // A number may be missing, because its run could not be created.
            let Ok((run, _)) = self.read(&RunName::new(app, number).ok()?).await else { continue };
            if run.state.ending() != Some(Ending::Untouched) {
                return run.rollback.map(|rollback| rollback.decided);
            }
        }
        None
    }
}

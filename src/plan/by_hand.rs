//! What a person may answer who did a step by hand: the fields that the runbook declares, each with its type.
//!
//! It must never let a value through that an expression behind it could not use. Start with [`Manual::refuses`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::policy::Manual;
use crate::runbook::words::{ParamType, Word};

/// The type of a field, as a plan spells it.
fn kind(spelled: &str) -> Option<ParamType> {
    ParamType::WORDS.iter().find(|(word, _)| *word == spelled).map(|(_, kind)| *kind)
}

impl Manual {
    /// Why an answer does not count; `None`: it does.
    #[must_use]
    pub fn refuses(&self, answer: &BTreeMap<String, Value>) -> Option<String> {
        if let Some(name) = answer.keys().find(|name| !self.answer.contains_key(*name)) {
            return Some(format!("`{name}` is not asked for"));
        }
        for (name, spelled) in &self.answer {
            let Some(value) = answer.get(name) else { return Some(format!("`{name}` is not answered")) };
            if let Some(expected) = kind(spelled).and_then(|kind| kind.expected_instead_of(value)) {
                return Some(format!("`{name}` must be {expected}, and is `{value}`"));
            }
        }
        None
    }

    /// What is asked for, in one line: `slot (integer), note (string)`.
    #[must_use]
    pub fn asks_for(&self) -> String {
        if self.answer.is_empty() {
            return "nothing but that it was done".to_owned();
        }
        let fields = self.answer.iter().map(|(name, spelled)| format!("{name} ({spelled})"));
        fields.collect::<Vec<_>>().join(", ")
    }

    /// An answer that counts, for those who are shown how to give one: the default, or some value for each field.
    #[must_use]
    pub fn example(&self) -> BTreeMap<String, Value> {
        let some = |spelled: &String| kind(spelled).map_or(Value::Null, ParamType::example);
        self.default
            .clone()
            .unwrap_or_else(|| self.answer.iter().map(|(name, spelled)| (name.clone(), some(spelled))).collect())
    }
}

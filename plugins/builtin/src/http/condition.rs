//! What a JSON answer must say: a pointer into it, and the values that may be there.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use bascule_plugin::Failure;

use crate::params;

/// A condition on a JSON body.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Condition {
    /// A JSON pointer (RFC 6901), such as `/state` or `/disks/0/state`; empty for the whole body.
    pub(super) pointer: String,
    /// The value that must be there. Either this or `oneOf`.
    pub(super) equals: Option<Value>,
    /// The values of which one must be there. Either this or `equals`.
    pub(super) one_of: Option<Vec<Value>>,
}

impl Condition {
    /// Whether it can be judged at all.
    pub(super) fn check(&self, parameter: &str) -> Result<(), Failure> {
        let wrong = |what: &str| Err(params::wrong(&format!("`{parameter}` {what}")));
        if !self.pointer.is_empty() && !self.pointer.starts_with('/') {
            return wrong(&format!("has the pointer `{}`, which must begin with `/`", self.pointer));
        }
        match (&self.equals, &self.one_of) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (Some(_), Some(_)) => wrong("has both `equals` and `oneOf`; give one"),
            (None, None) => wrong("needs `equals` or `oneOf`; for null write `oneOf: [null]`"),
        }
    }

    /// Whether the body says so.
    pub(super) fn holds(&self, body: &Value) -> bool {
        let Some(found) = body.pointer(&self.pointer) else { return false };
        let expected = self.equals.as_slice();
        expected.iter().chain(self.one_of.iter().flatten()).any(|value| value == found)
    }

    /// What was found instead.
    pub(super) fn found(&self, body: Option<&Value>) -> String {
        match body {
            None => "the body is not JSON".to_owned(),
            Some(body) => match body.pointer(&self.pointer) {
                None => format!("there is nothing at `{}`", self.pointer),
                Some(found) => format!("at `{}` is {found}", self.pointer),
            },
        }
    }

    /// What is expected.
    pub(super) fn expected(&self) -> String {
        match (&self.equals, &self.one_of) {
            (Some(value), _) => value.to_string(),
            (None, values) => format!("one of {}", Value::from(values.clone().unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(value: Value) -> Condition {
        serde_json::from_value(value).expect("a condition")
    }

    #[test]
    fn a_condition_holds_for_the_value_at_its_pointer() {
        let body = json!({"vm": {"state": "on", "cpus": 2}});
        assert!(condition(json!({"pointer": "/vm/state", "equals": "on"})).holds(&body));
        assert!(condition(json!({"pointer": "/vm/cpus", "oneOf": [1, 2]})).holds(&body));
        assert!(!condition(json!({"pointer": "/vm/state", "equals": "off"})).holds(&body));
        assert!(!condition(json!({"pointer": "/vm/host", "oneOf": [null]})).holds(&body), "absent is not null");
        assert!(condition(json!({"pointer": "", "equals": "ok"})).holds(&json!("ok")));
    }

    #[test]
    fn a_condition_that_cannot_be_judged_is_refused() {
        let refusal = |value| condition(value).check("until").expect_err("it is wrong").message;
        assert!(refusal(json!({"pointer": "state", "equals": 1})).contains("begin with `/`"));
        assert!(refusal(json!({"pointer": "/state"})).contains("`equals` or `oneOf`"));
        assert!(refusal(json!({"pointer": "/state", "equals": 1, "oneOf": [1]})).contains("both"));
    }
}

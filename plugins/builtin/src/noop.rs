//! `noop`: does nothing and says what it was told to say. For tests, demonstrations and
//! measurements, so it must cost next to nothing: no schema, no parsing twice, no waiting.

use async_trait::async_trait;
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Left, Outcome, Role, Validation,
};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::params;

/// Does nothing.
#[derive(Debug)]
pub(crate) struct Noop;

/// The schema of the parameters; they are read by hand to save the copy.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "written for its schema alone")]
struct Params {
    /// The outputs of the step, as they are.
    outputs: Option<Map<String, Value>>,
}

/// The outputs that were asked for.
fn outputs(with: &Value) -> Result<Option<&Value>, Failure> {
    let Value::Object(with) = with else {
        return if with.is_null() { Ok(None) } else { Err(params::wrong("they are not a mapping")) };
    };
    let mut outputs = None;
    for (name, value) in with {
        match (name.as_str(), value) {
            ("outputs", Value::Object(_)) => outputs = Some(value),
            ("outputs", Value::Null) => {}
            ("outputs", _) => return Err(params::wrong("`outputs` is not a mapping")),
            (unknown, _) => return Err(params::wrong(&format!("unknown field `{unknown}`, expected `outputs`"))),
        }
    }
    Ok(outputs)
}

#[async_trait]
impl Executor for Noop {
    fn by_hand(&self, _task: ByHand<'_>) -> Option<String> {
        Some("true".to_owned())
    }

    fn describe(&self) -> Description {
        Description {
            name: "noop",
            summary: "Does nothing and returns the outputs that it was given.",
            params: params::schema::<Params>(),
            outputs: &[("*", "Whatever `outputs` holds.")],
            effect: Effect::Idempotent,
            probes: false,
            undoes: true,
        }
    }

    fn effect(&self, _with: &Value) -> Effect {
        Effect::Idempotent
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        outputs(with).map_or_else(Validation::Refused, |_| Validation::Verified)
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        if cx.is_cancelled() {
            return Outcome::Cancelled { left: Left::Nothing };
        }
        match outputs(with) {
            Ok(Some(outputs)) => Outcome::done(outputs.clone()),
            Ok(None) => Outcome::done(Value::Object(Map::new())),
            Err(failure) => Outcome::untouched(failure),
        }
    }

    async fn undo(&self, _cx: &ExecCx, with: &Value, _outputs: Option<&Value>) -> Outcome {
        match outputs(with) {
            Ok(_) => Outcome::done(Value::Object(Map::new())),
            Err(failure) => Outcome::untouched(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outputs_are_taken_as_they_are() {
        assert_eq!(outputs(&Value::Null), Ok(None));
        assert_eq!(outputs(&json!({"outputs": null})), Ok(None));
        assert_eq!(outputs(&json!({"outputs": {"a": [1]}})), Ok(Some(&json!({"a": [1]}))));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        let refusal = |with| outputs(&with).expect_err("it is wrong").message;
        assert!(refusal(json!({"output": {}})).contains("`output`"));
        assert!(refusal(json!({"outputs": 3})).contains("not a mapping"));
        assert!(refusal(json!([])).contains("not a mapping"));
    }
}

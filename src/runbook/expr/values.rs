//! Operators on JSON values: numbers of one kind, comparisons that refuse to guess.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::Unknown;
use super::functions::MAX_TEXT;
use super::term::Operator;

/// A number, whole numbers kept exact.
#[derive(Debug, Clone, Copy)]
pub(super) enum Num {
    Int(i128),
    Float(f64),
}

impl Num {
    pub(super) fn of(value: &Value) -> Option<Self> {
        let Value::Number(number) = value else { return None };
        match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Some(Self::Int(whole.into())),
            (None, Some(whole)) => Some(Self::Int(whole.into())),
            (None, None) => number.as_f64().map(Self::Float),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Int(whole) => whole as f64,
            Self::Float(number) => number,
        }
    }
}

/// A number as a JSON value; what JSON cannot say is unknown.
pub(super) fn number_value(number: Num) -> Result<Value, Unknown> {
    let value = match number {
        Num::Int(whole) => {
            i64::try_from(whole).map(Number::from).or_else(|_| u64::try_from(whole).map(Number::from)).ok()
        }
        Num::Float(number) => Number::from_f64(number),
    };
    value.map(Value::Number).ok_or_else(|| Unknown::because("the result is not a number, or too large"))
}

/// What a value is, for reasons.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A value as text inside other text; null, lists and maps have none.
pub(super) fn text_of(value: &Value) -> Result<String, Unknown> {
    match (value, Num::of(value)) {
        (Value::String(text), _) => Ok(text.clone()),
        (Value::Bool(value), _) => Ok(value.to_string()),
        (_, Some(Num::Int(whole))) => Ok(whole.to_string()),
        // `f64` prints 325.0 as "325", which is what a person expects of 250 * 1.3.
        (_, Some(Num::Float(number))) => Ok(number.to_string()),
        (other, None) => Err(Unknown::because(format!("{} has no text", kind_of(other)))),
    }
}

/// The order of two numbers or two texts.
pub(super) fn compare(left: &Value, right: &Value) -> Result<Ordering, Unknown> {
    let order = match (Num::of(left), Num::of(right), left, right) {
        (Some(Num::Int(left)), Some(Num::Int(right)), _, _) => Some(left.cmp(&right)),
        (Some(left), Some(right), _, _) => left.as_f64().partial_cmp(&right.as_f64()),
        (None, None, Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Some(_) | None, _, _, _) => None,
    };
    order.ok_or_else(|| Unknown::because(format!("{} cannot be compared with {}", kind_of(left), kind_of(right))))
}

/// Whether two values are equal. Values of different kinds cannot be compared; lists and maps are equal if
/// all their parts are, different if one part is different, and else as unknown as their parts.
pub(super) fn equal(left: &Value, right: &Value) -> Result<bool, Unknown> {
    match (left, right) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::String(left), Value::String(right)) => Ok(left == right),
        (Value::Number(_), Value::Number(_)) => compare(left, right).map(|order| order == Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            all_equal(left.len() == right.len(), left.iter().zip(right.iter().map(Some)))
        }
        (Value::Object(left), Value::Object(right)) => {
            let pairs = left.iter().map(|(key, value)| (value, right.get(key)));
            all_equal(left.len() == right.len(), pairs)
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => Err(Unknown::because(format!("{} cannot be compared with {}", kind_of(left), kind_of(right)))),
    }
}

fn all_equal<'v>(
    same_size: bool,
    pairs: impl Iterator<Item = (&'v Value, Option<&'v Value>)>,
) -> Result<bool, Unknown> {
    let mut doubt = None;
    if !same_size {
        return Ok(false);
    }
    for (left, right) in pairs {
        match right.map(|right| equal(left, right)) {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => return Ok(false),
            Some(Err(unknown)) => doubt = Some(unknown),
        }
    }
    doubt.map_or(Ok(true), Err)
}

/// What copying a value costs, in nodes.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 256,
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// `in`.
pub(super) fn contains(container: &Value, wanted: &Value) -> Result<Value, Unknown> {
    match (container, wanted) {
        (Value::Array(items), _) => Ok(Value::Bool(items.iter().any(|item| equal(item, wanted) == Ok(true)))),
        (Value::Object(entries), Value::String(key)) => Ok(Value::Bool(entries.contains_key(key))),
        (other, _) => Err(Unknown::because(format!("{} cannot be looked for in {}", kind_of(wanted), kind_of(other)))),
    }
}

/// `+`: numbers, texts, lists.
pub(super) fn add(left: &Value, right: &Value) -> Result<Value, Unknown> {
    match (left, right) {
        (Value::String(left), Value::String(right)) if left.len() + right.len() <= MAX_TEXT => {
            Ok(Value::String(format!("{left}{right}")))
        }
        (Value::String(_), Value::String(_)) => Err(Unknown::because("the text is too long")),
        (Value::Array(left), Value::Array(right)) => Ok(Value::Array(left.iter().chain(right).cloned().collect())),
        (left, right) => calculate(Operator::Add, left, right),
    }
}

/// The operators of arithmetic.
pub(super) fn calculate(operator: Operator, left: &Value, right: &Value) -> Result<Value, Unknown> {
    let (Some(first), Some(second)) = (Num::of(left), Num::of(right)) else {
        let reason = format!("`{}` cannot be used on {} and {}", operator.symbol(), kind_of(left), kind_of(right));
        return Err(Unknown::because(reason));
    };
    let by_zero = second.as_f64() == 0.0;
    if by_zero && matches!(operator, Operator::Divide | Operator::Remainder) {
        return Err(Unknown::because("a division by zero"));
    }
    let whole = match (operator, first, second) {
        (Operator::Add, Num::Int(left), Num::Int(right)) => left.checked_add(right),
        (Operator::Subtract, Num::Int(left), Num::Int(right)) => left.checked_sub(right),
        (Operator::Multiply, Num::Int(left), Num::Int(right)) => left.checked_mul(right),
        (Operator::Remainder, Num::Int(left), Num::Int(right)) => Some(left % right),
        (Operator::Divide, Num::Int(left), Num::Int(right)) if left % right == 0 => Some(left / right),
        _ => None,
    };
    if let Some(whole) = whole {
        return number_value(Num::Int(whole));
    }
    let (left, right) = (first.as_f64(), second.as_f64());
    number_value(Num::Float(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Remainder => left % right,
        Operator::Equal
        | Operator::NotEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::In => f64::NAN,
    }))
}

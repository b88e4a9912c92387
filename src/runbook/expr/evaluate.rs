//! Walks a parsed expression over JSON values. Every way to fail is [`Unknown`] with its reason.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::functions::MAX_TEXT;
use super::term::{Fold, Operator, Term};
use super::{Scope, Unknown};

/// How many nodes may be visited, and list elements copied, before an expression counts as too slow.
const FUEL: usize = 100_000;

type Outcome<'a> = Result<Cow<'a, Value>, Unknown>;

/// The value of a term.
pub(super) fn run(term: &Term, scope: &Scope) -> Result<Value, Unknown> {
    let mut walk = Walk { scope, locals: Vec::new(), fuel: FUEL };
    walk.value(term).map(Cow::into_owned)
}

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
fn equal(left: &Value, right: &Value) -> Result<bool, Unknown> {
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

struct Walk<'a> {
    scope: &'a Scope,
    locals: Vec<(&'a str, Outcome<'a>)>,
    fuel: usize,
}

impl<'a> Walk<'a> {
    fn spend(&mut self, amount: usize) -> Result<(), Unknown> {
        self.fuel = self.fuel.checked_sub(amount).ok_or_else(|| Unknown::because("the expression takes too long"))?;
        Ok(())
    }

    fn value(&mut self, term: &'a Term) -> Outcome<'a> {
        self.spend(1)?;
        match term {
            Term::Literal(value) => Ok(Cow::Borrowed(value)),
            Term::Root(name) => self
                .scope
                .get(name)
                .map(Cow::Borrowed)
                .ok_or_else(|| Unknown::missing(format!("`{name}` is not known here"))),
            Term::Local(name) => self.local(name),
            Term::Field(operand, field) => self.field(operand, field, term),
            Term::Has(operand, field) => self.has(operand, field),
            Term::Index(operand, index) => self.index(operand, index, term),
            Term::Not(operand) => self.truth(operand).map(|value| Cow::Owned(Value::Bool(!value))),
            Term::Negative(operand) => self.negative(operand),
            Term::NotStrictlyFalse(operand) => {
                let goes_on = !matches!(self.truth(operand), Ok(false));
                Ok(Cow::Owned(Value::Bool(goes_on)))
            }
            Term::And(left, right) => self.connect(left, right, false),
            Term::Or(left, right) => self.connect(left, right, true),
            Term::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                let chosen = if self.truth(condition)? { then } else { otherwise };
                self.value(chosen)
            }
            Term::Binary(operator, left, right) => self.binary(*operator, left, right),
            Term::Call(function, terms) => {
                let mut operands = Vec::with_capacity(terms.len());
                for term in terms {
                    operands.push(self.present(term)?);
                }
                let operands: Vec<&Value> = operands.iter().map(|operand| &**operand).collect();
                self.spend(operands.iter().map(|operand| weight(operand)).sum())?;
                function.call(&operands).map(Cow::Owned)
            }
            Term::Matches(text, pattern) => match &*self.present(text)? {
                Value::String(text) => Ok(Cow::Owned(Value::Bool(pattern.is_match(text)))),
                other => Err(Unknown::because(format!("`matches` cannot be used on {}", kind_of(other)))),
            },
            Term::List(items) => {
                let values = items.iter().map(|item| self.value(item).map(Cow::into_owned));
                Ok(Cow::Owned(Value::Array(values.collect::<Result<_, _>>()?)))
            }
            Term::Map(entries) => self.map(entries),
            Term::Fold(fold) => self.fold(fold),
        }
    }

    /// A value that is not null.
    fn present(&mut self, term: &'a Term) -> Outcome<'a> {
        let value = self.value(term)?;
        if value.is_null() { Err(Unknown::because(format!("{} is null", shown(term)))) } else { Ok(value) }
    }

    fn truth(&mut self, term: &'a Term) -> Result<bool, Unknown> {
        match &*self.value(term)? {
            Value::Bool(value) => Ok(*value),
            other => Err(Unknown::because(format!("{} is {}, not true or false", shown(term), kind_of(other)))),
        }
    }

    fn local(&self, name: &str) -> Outcome<'a> {
        let found = self.locals.iter().rev().find(|(local, _)| *local == name);
        match found {
            Some((_, value)) => value.clone(),
            None => Err(Unknown::missing(format!("`{name}` is not known here"))),
        }
    }

    fn field(&mut self, operand: &'a Term, field: &str, whole: &Term) -> Outcome<'a> {
        let missing = || Unknown::missing(format!("{} does not exist", shown(whole)));
        match self.value(operand)? {
            Cow::Borrowed(Value::Object(entries)) => entries.get(field).map(Cow::Borrowed).ok_or_else(missing),
            Cow::Owned(Value::Object(mut entries)) => entries.remove(field).map(Cow::Owned).ok_or_else(missing),
            other if other.is_null() => Err(Unknown::missing(format!("{} is null", shown(operand)))),
            other => Err(Unknown::because(format!("{} is {}, not a map", shown(operand), kind_of(&other)))),
        }
    }

    fn has(&mut self, operand: &'a Term, field: &str) -> Outcome<'a> {
        let present = match self.value(operand) {
            Ok(value) => match &*value {
                Value::Object(entries) => entries.get(field).is_some_and(|value| !value.is_null()),
                Value::Null => false,
                other => {
                    let reason = format!("{} is {}, not a map", shown(operand), kind_of(other));
                    return Err(Unknown::because(reason));
                }
            },
            Err(unknown) if unknown.missing => false,
            Err(unknown) => return Err(unknown),
        };
        Ok(Cow::Owned(Value::Bool(present)))
    }

    fn index(&mut self, operand: &'a Term, index: &'a Term, whole: &'a Term) -> Outcome<'a> {
        let key = self.present(index)?;
        if let Value::String(field) = &*key {
            return self.field(operand, field, whole);
        }
        let list = self.present(operand)?;
        let (Value::Array(items), Some(Num::Int(position))) = (&*list, Num::of(&key)) else {
            let reason = format!("{} in brackets cannot be used on {}", kind_of(&key), kind_of(&list));
            return Err(Unknown::because(reason));
        };
        let position = usize::try_from(position).ok().filter(|position| *position < items.len());
        let Some(position) = position else {
            return Err(Unknown::missing(format!("{} does not exist", shown(whole))));
        };
        let found = match list {
            Cow::Borrowed(Value::Array(items)) => items.get(position).map(Cow::Borrowed),
            other => other.get(position).cloned().map(Cow::Owned),
        };
        found.ok_or_else(|| Unknown::missing(format!("{} does not exist", shown(whole))))
    }

    fn negative(&mut self, operand: &'a Term) -> Outcome<'a> {
        let value = self.present(operand)?;
        match Num::of(&value) {
            Some(Num::Int(whole)) => number_value(Num::Int(-whole)).map(Cow::Owned),
            Some(Num::Float(number)) => number_value(Num::Float(-number)).map(Cow::Owned),
            None => Err(Unknown::because(format!("`-` cannot be used on {}", kind_of(&value)))),
        }
    }

    /// And, or: the side that settles the answer wins over one that is unknown.
    fn connect(&mut self, left: &'a Term, right: &'a Term, settling: bool) -> Outcome<'a> {
        let left = self.truth(left);
        if left == Ok(settling) {
            return Ok(Cow::Owned(Value::Bool(settling)));
        }
        let right = self.truth(right);
        if right == Ok(settling) {
            return Ok(Cow::Owned(Value::Bool(settling)));
        }
        left?;
        right?;
        Ok(Cow::Owned(Value::Bool(!settling)))
    }

    fn binary(&mut self, operator: Operator, left: &'a Term, right: &'a Term) -> Outcome<'a> {
        if matches!(operator, Operator::Equal | Operator::NotEqual)
            && let Some(asked) = null_question(left, right)
        {
            let is_null = self.value(asked)?.is_null();
            return Ok(Cow::Owned(Value::Bool(is_null == (operator == Operator::Equal))));
        }
        let (left, right) = (self.present(left)?, self.present(right)?);
        let truth = |value: bool| Ok(Value::Bool(value));
        let value = match operator {
            Operator::Equal => truth(equal(&left, &right)?),
            Operator::NotEqual => truth(!equal(&left, &right)?),
            Operator::Less => truth(compare(&left, &right)?.is_lt()),
            Operator::LessOrEqual => truth(compare(&left, &right)?.is_le()),
            Operator::Greater => truth(compare(&left, &right)?.is_gt()),
            Operator::GreaterOrEqual => truth(compare(&left, &right)?.is_ge()),
            Operator::In => contains(&right, &left),
            Operator::Add => {
                self.spend(weight(&left) + weight(&right))?;
                add(&left, &right)
            }
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                calculate(operator, &left, &right)
            }
        };
        value.map(Cow::Owned)
    }

    fn map(&mut self, entries: &'a [(Term, Term)]) -> Outcome<'a> {
        let mut map = Map::new();
        for (key, value) in entries {
            let key = self.present(key)?;
            let Value::String(name) = &*key else {
                return Err(Unknown::because(format!("{} cannot be a key", kind_of(&key))));
            };
            map.insert(name.clone(), self.value(value)?.into_owned());
        }
        Ok(Cow::Owned(Value::Object(map)))
    }

    fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let range = self.present(&fold.range)?;
        let elements = elements(range, fold.second.is_some())?;
        let depth = self.locals.len();
        let start = self.value(&fold.start);
        self.locals.push((&fold.accumulator, start));
        for (first, second) in elements {
            self.locals.push((&fold.variable, Ok(first)));
            if let (Some(name), Some(second)) = (&fold.second, second) {
                self.locals.push((name, Ok(second)));
            }
            let goes_on = self.truth(&fold.condition)?;
            if goes_on {
                // An unknown element does not end the walk: a later one may settle the answer.
                let next = self.step(fold, &fold.step, depth);
                if let Some(accumulator) = self.locals.get_mut(depth) {
                    accumulator.1 = next;
                }
            }
            self.locals.truncate(depth + 1);
            if !goes_on || self.fuel == 0 {
                break;
            }
        }
        let result = self.value(&fold.result);
        self.locals.truncate(depth);
        result
    }

    /// The next accumulator. A list is taken out, appended to and put back, so that `map` and `filter`
    /// cost one copy per element, not one per pair of elements.
    fn step(&mut self, fold: &'a Fold, term: &'a Term, depth: usize) -> Outcome<'a> {
        let is_accumulator = |term: &Term| matches!(term, Term::Local(name) if *name == fold.accumulator);
        match term {
            Term::Binary(Operator::Add, left, right) if is_accumulator(left) && matches!(**right, Term::List(_)) => {
                let added = self.value(right)?.into_owned();
                let mut list = self.take(depth)?.into_owned();
                if let (Value::Array(list), Value::Array(added)) = (&mut list, added) {
                    list.extend(added);
                }
                Ok(Cow::Owned(list))
            }
            Term::If(parts) if is_accumulator(&parts[2]) => {
                let [condition, then, _] = &**parts;
                if self.truth(condition)? { self.step(fold, then, depth) } else { self.take(depth) }
            }
            other => self.value(other),
        }
    }

    fn take(&mut self, index: usize) -> Outcome<'a> {
        match self.locals.get_mut(index) {
            Some((_, value)) => std::mem::replace(value, Ok(Cow::Owned(Value::Null))),
            None => Err(Unknown::because("the accumulator is gone")),
        }
    }
}

type Element<'a> = (Cow<'a, Value>, Option<Cow<'a, Value>>);

/// What a macro walks over: elements of a list or keys of a map; with two variables their index or key first.
fn elements(range: Cow<'_, Value>, pairs: bool) -> Result<Vec<Element<'_>>, Unknown> {
    let listed =
        |index: usize, value| if pairs { (Cow::Owned(Value::from(index)), Some(value)) } else { (value, None) };
    let keyed = |key: String, value| (Cow::Owned(Value::String(key)), pairs.then_some(value));
    match range {
        Cow::Borrowed(Value::Array(items)) => {
            Ok(items.iter().enumerate().map(|(index, value)| listed(index, Cow::Borrowed(value))).collect())
        }
        Cow::Owned(Value::Array(items)) => {
            Ok(items.into_iter().enumerate().map(|(index, value)| listed(index, Cow::Owned(value))).collect())
        }
        Cow::Borrowed(Value::Object(entries)) => {
            Ok(entries.iter().map(|(key, value)| keyed(key.clone(), Cow::Borrowed(value))).collect())
        }
        Cow::Owned(Value::Object(entries)) => {
            Ok(entries.into_iter().map(|(key, value)| keyed(key, Cow::Owned(value))).collect())
        }
        other => Err(Unknown::because(format!("{} has no elements", kind_of(&other)))),
    }
}

/// What copying a value costs, in nodes.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 256,
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The operand of a comparison with a written `null`.
fn null_question<'a>(left: &'a Term, right: &'a Term) -> Option<&'a Term> {
    match (left, right) {
        (Term::Literal(Value::Null), other) | (other, Term::Literal(Value::Null)) => Some(other),
        _ => None,
    }
}

fn contains(container: &Value, wanted: &Value) -> Result<Value, Unknown> {
    match (container, wanted) {
        (Value::Array(items), _) => Ok(Value::Bool(items.iter().any(|item| equal(item, wanted) == Ok(true)))),
        (Value::Object(entries), Value::String(key)) => Ok(Value::Bool(entries.contains_key(key))),
        (other, _) => Err(Unknown::because(format!("{} cannot be looked for in {}", kind_of(wanted), kind_of(other)))),
    }
}

fn add(left: &Value, right: &Value) -> Result<Value, Unknown> {
    match (left, right) {
        (Value::String(left), Value::String(right)) if left.len() + right.len() <= MAX_TEXT => {
            Ok(Value::String(format!("{left}{right}")))
        }
        (Value::String(_), Value::String(_)) => Err(Unknown::because("the text is too long")),
        (Value::Array(left), Value::Array(right)) => Ok(Value::Array(left.iter().chain(right).cloned().collect())),
        (left, right) => calculate(Operator::Add, left, right),
    }
}

fn calculate(operator: Operator, left: &Value, right: &Value) -> Result<Value, Unknown> {
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

/// A term as its author wrote it, where it is a path; for reasons.
fn shown(term: &Term) -> String {
    fn path(term: &Term) -> Option<String> {
        match term {
            Term::Root(name) | Term::Local(name) => Some(name.clone()),
            Term::Field(operand, field) => Some(format!("{}.{field}", path(operand)?)),
            Term::Index(operand, index) => match &**index {
                Term::Literal(Value::String(key)) => Some(format!("{}[\"{key}\"]", path(operand)?)),
                Term::Literal(key) => Some(format!("{}[{key}]", path(operand)?)),
                other => Some(format!("{}[{}]", path(operand)?, path(other)?)),
            },
            _ => None,
        }
    }
    path(term).map_or_else(|| "the value".to_owned(), |path| format!("`{path}`"))
}

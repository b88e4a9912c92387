//! Walks a parsed expression over JSON values. Every way to fail is [`Unknown`] with its reason.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::term::{Fold, Operator, Term};
use super::values::{Num, add, calculate, compare, contains, equal, kind_of, number_value, weight};
use super::{Scope, Unknown};

/// How many nodes may be visited, and list elements copied, before an expression counts as too slow.
const FUEL: usize = 100_000;

type Outcome<'a> = Result<Cow<'a, Value>, Unknown>;

/// The value of a term.
pub(super) fn run(term: &Term, scope: &Scope) -> Result<Value, Unknown> {
    let mut walk = Walk { scope, locals: Vec::new(), fuel: FUEL };
    walk.value(term).map(Cow::into_owned)
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
            Term::Matches(text, pattern) => {
                let value = self.present(text)?;
                match value.as_str() {
                    Some(text) => Ok(Cow::Owned(Value::Bool(pattern.is_match(text)))),
                    None => Err(Unknown::because(format!("`matches` cannot be used on {}", kind_of(&value)))),
                }
            }
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
        let value = self.value(term)?;
        value
            .as_bool()
            .ok_or_else(|| Unknown::because(format!("{} is {}, not true or false", shown(term), kind_of(&value))))
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
        let value = self.value(operand)?;
        if value.is_null() {
            return Err(Unknown::missing(format!("{} is null", shown(operand))));
        }
        if !value.is_object() {
            return Err(Unknown::because(format!("{} is {}, not a map", shown(operand), kind_of(&value))));
        }
        let found = match value {
            Cow::Borrowed(map) => map.get(field).map(Cow::Borrowed),
            Cow::Owned(mut map) => map.get_mut(field).map(|value| Cow::Owned(value.take())),
        };
        found.ok_or_else(missing)
    }

    fn has(&mut self, operand: &'a Term, field: &str) -> Outcome<'a> {
        let present = match self.value(operand) {
            Ok(value) if value.is_object() || value.is_null() => value.get(field).is_some_and(|value| !value.is_null()),
            Ok(value) => {
                let reason = format!("{} is {}, not a map", shown(operand), kind_of(&value));
                return Err(Unknown::because(reason));
            }
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
            Cow::Borrowed(list) => list.get(position).map(Cow::Borrowed),
            Cow::Owned(mut list) => list.get_mut(position).map(|value| Cow::Owned(value.take())),
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
        if let Term::Binary(Operator::Add, left, right) = term
            && is_accumulator(left)
            && matches!(**right, Term::List(_))
        {
            let added = self.value(right)?.into_owned();
            let mut list = self.take(depth)?.into_owned();
            if let (Value::Array(list), Value::Array(added)) = (&mut list, added) {
                list.extend(added);
            }
            return Ok(Cow::Owned(list));
        }
        if let Term::If(parts) = term
            && is_accumulator(&parts[2])
        {
            let [condition, then, _] = &**parts;
            return if self.truth(condition)? { self.step(fold, then, depth) } else { self.take(depth) };
        }
        self.value(term)
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
    fn listed<'v>(index: usize, value: Cow<'v, Value>, pairs: bool) -> Element<'v> {
        if pairs { (Cow::Owned(Value::from(index)), Some(value)) } else { (value, None) }
    }
    fn keyed<'v>(key: &str, value: Cow<'v, Value>, pairs: bool) -> Element<'v> {
        (Cow::Owned(Value::from(key)), pairs.then_some(value))
    }
    let kind = kind_of(&range);
    let elements = match range {
        Cow::Borrowed(value) => match (value.as_array(), value.as_object()) {
            (Some(items), _) => {
                let items = items.iter().enumerate();
                Some(items.map(|(index, value)| listed(index, Cow::Borrowed(value), pairs)).collect())
            }
            (None, Some(entries)) => {
                Some(entries.iter().map(|(key, value)| keyed(key, Cow::Borrowed(value), pairs)).collect())
            }
            (None, None) => None,
        },
        Cow::Owned(mut value) => match value.as_array_mut().map(std::mem::take) {
            Some(items) => {
                let items = items.into_iter().enumerate();
                Some(items.map(|(index, value)| listed(index, Cow::Owned(value), pairs)).collect())
            }
            None => value.as_object().map(|entries| {
                entries.iter().map(|(key, value)| keyed(key, Cow::Owned(value.clone()), pairs)).collect()
            }),
        },
    };
    elements.ok_or_else(|| Unknown::because(format!("{kind} has no elements")))
}

/// The operand of a comparison with a written `null`.
fn null_question<'a>(left: &'a Term, right: &'a Term) -> Option<&'a Term> {
    match (left, right) {
        (Term::Literal(Value::Null), other) | (other, Term::Literal(Value::Null)) => Some(other),
        _ => None,
    }
}

/// A term as its author wrote it, where it is a path; for reasons.
fn shown(term: &Term) -> String {
    path_of(term).map_or_else(|| "the value".to_owned(), |path| format!("`{path}`"))
}

fn path_of(term: &Term) -> Option<String> {
    if let Term::Root(name) | Term::Local(name) = term {
        return Some(name.clone());
    }
    if let Term::Field(operand, field) = term {
        return Some(format!("{}.{field}", path_of(operand)?));
    }
    if let Term::Index(operand, index) = term {
        // JSON writes a text in quotes, as the expression does.
        let key = if let Term::Literal(key) = &**index { key.to_string() } else { path_of(index)? };
        return Some(format!("{}[{key}]", path_of(operand)?));
    }
    None
}

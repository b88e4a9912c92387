//! The limits inside a condition: what a picture of its samples draws as a line.

use std::sync::Arc;

use serde_json::Value;

use super::term::{Operator, Term};
use super::{Compiled, Scope, evaluate};

/// A value that a condition holds against a limit.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The name of what is measured: `result.p95`.
    pub what: String,
    /// `>`, `>=`, `<` or `<=`: how the value stands to the limit when the comparison is true.
    pub symbol: &'static str,
    value: Compiled,
    limit: Compiled,
}

impl Comparison {
    /// The value and its limit, if both are numbers.
    #[must_use]
    pub fn numbers(&self, scope: &Scope) -> Option<(f64, f64)> {
        let number = |compiled: &Compiled| evaluate(compiled, scope).ok().as_ref().and_then(Value::as_f64);
        number(&self.value).zip(number(&self.limit))
    }
}

/// The comparisons with a limit that a condition is made of, as far as `&&` and `||` join them.
#[must_use]
pub fn comparisons(compiled: &Compiled) -> Vec<Comparison> {
    let mut found = Vec::new();
    collect(compiled, &compiled.term, &mut found);
    found
}

fn collect(whole: &Compiled, term: &Term, found: &mut Vec<Comparison>) {
    let part = |term: &Term| Compiled { text: whole.text.clone(), term: Arc::new(term.clone()) };
    match term {
        Term::And(left, right) | Term::Or(left, right) => {
            collect(whole, left, found);
            collect(whole, right, found);
        }
        Term::Binary(operator, left, right) => {
            let Some((symbol, mirrored)) = symbols(*operator) else { return };
            let (value, limit, symbol) = match (name(left), name(right)) {
                (Some(what), _) if what.starts_with("result") => ((what, left), right, symbol),
                (_, Some(what)) if what.starts_with("result") => ((what, right), left, mirrored),
                (Some(_) | None, Some(_) | None) => return,
            };
            found.push(Comparison { what: value.0, symbol, value: part(value.1), limit: part(limit) });
        }
        Term::Literal(_)
        | Term::Root(_)
        | Term::Local(_)
        | Term::Field(..)
        | Term::Has(..)
        | Term::Index(..)
        | Term::Not(_)
        | Term::Negative(_)
        | Term::NotStrictlyFalse(_)
        | Term::If(_)
        | Term::Call(..)
        | Term::Matches(..)
        | Term::List(_)
        | Term::Map(_)
        | Term::Fold(_) => {}
    }
}

/// The operator, and the same seen from the other side.
fn symbols(operator: Operator) -> Option<(&'static str, &'static str)> {
    match operator {
        Operator::Less => Some(("<", ">")),
        Operator::LessOrEqual => Some(("<=", ">=")),
        Operator::Greater => Some((">", "<")),
        Operator::GreaterOrEqual => Some((">=", "<=")),
        Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Remainder
        | Operator::Equal
        | Operator::NotEqual
        | Operator::In => None,
    }
}

/// `result.body.count`, for a plain path.
fn name(term: &Term) -> Option<String> {
    match term {
        Term::Root(root) => Some(root.clone()),
        Term::Field(of, field) => Some(format!("{}.{field}", name(of)?)),
        Term::Literal(_)
        | Term::Local(_)
        | Term::Has(..)
        | Term::Index(..)
        | Term::Not(_)
        | Term::Negative(_)
        | Term::NotStrictlyFalse(_)
        | Term::And(..)
        | Term::Or(..)
        | Term::If(_)
        | Term::Binary(..)
        | Term::Call(..)
        | Term::Matches(..)
        | Term::List(_)
        | Term::Map(_)
        | Term::Fold(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Scope, compile};
    use super::comparisons;

    fn drawn(text: &str) -> Vec<String> {
        let scope = Scope::new()
            .with("result", json!({"p95": 120, "errorRate": 0.25, "status": 200}))
            .with("baseline", json!({"p95": 100}));
        let compiled = compile(text).expect("a condition");
        let line = |limit: &super::Comparison| format!("{} {} {:?}", limit.what, limit.symbol, limit.numbers(&scope));
        comparisons(&compiled).iter().map(line).collect()
    }

    #[test]
    fn limits_are_found_on_either_side_and_evaluated() {
        assert_eq!(drawn("result.p95 > baseline.p95 * 1.5"), ["result.p95 > Some((120.0, 150.0))"]);
        assert_eq!(drawn("0.5 <= result.errorRate"), ["result.errorRate >= Some((0.25, 0.5))"]);
        assert_eq!(drawn("result.status != 200 || result.errorRate > 0.5"), ["result.errorRate > Some((0.25, 0.5))"]);
    }

    #[test]
    fn what_is_no_limit_or_has_no_value_is_not_drawn() {
        assert!(drawn("!result.ok").is_empty());
        assert!(drawn("!(result.p95 < 100)").is_empty(), "a negation turns the meaning around");
        assert_eq!(drawn("result.p99 > 1"), ["result.p99 > None"]);
    }
}

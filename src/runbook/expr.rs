//! Expressions: the language CEL behind a guard, with three values instead of two.
//!
//! The grammar is that of the `cel` crate. Evaluation is ours, because a rollback decided by accident is
//! the worst thing that can happen here:
//!
//! - What is missing, null, of the wrong type, not a number or too slow gives [`Unknown`] with its reason,
//!   never true or false. `a && b` is still false if one side is false, `a || b` true if one side is.
//! - There is one kind of number. `1 == 1.0` holds, `result.p95 > baseline.p95 * 1.3` works whether the
//!   values were written with a decimal point or not, and `3 / 100` is `0.03`. Whole numbers stay exact.
//! - `x == null` may be asked; any other comparison with null is unknown. `has(a.b)` is false if `a.b` or
//!   anything on the way to it is missing or null.
//! - An expression is at most 1 KiB long, nested at most 16 deep and evaluated in bounded time.
//!
//! Start with [`compile`], then [`evaluate()`] and [`decide`]; [`references`] is for static checks.

mod compare;
mod convert;
mod evaluate;
mod functions;
mod term;
mod tokens;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use compare::{Comparison, comparisons};
pub use tokens::{MAX_LENGTH, MAX_NESTING, MAX_OPERATORS, Path, Segment, references};

/// A CEL expression, kept as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expr(pub Arc<str>);

impl Expr {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The names that an expression may begin with.
pub const ROOTS: [&str; 6] = ["inputs", "params", "steps", "run", "baseline", "result"];

/// A parsed expression: cheap to clone, shared between threads.
#[derive(Debug, Clone)]
pub struct Compiled {
    text: Arc<str>,
    term: Arc<term::Term>,
}

impl Compiled {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// An expression that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ExprError {
    /// What kind of error.
    pub kind: ExprErrorKind,
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the expression.
    pub at: Range<usize>,
    /// What to do.
    pub help: Option<String>,
}

/// What kind of error an [`ExprError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExprErrorKind {
    /// Not an expression.
    Syntax,
    /// Too long, too deep, too many operators.
    TooLarge,
    /// A function that does not exist, or is called wrongly.
    Function,
    /// A name that is none of [`ROOTS`].
    Root,
}

/// A value could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Unknown {
    /// Why, for people.
    pub reason: String,
    missing: bool,
}

impl Unknown {
    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), missing: false }
    }

    fn missing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), missing: true }
    }
}

/// The answer to a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can say, and why.
    Unknown(String),
}

/// What an expression can see: a JSON value under each root name.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    roots: BTreeMap<String, Arc<Value>>,
}

impl Scope {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a value under a root name, such as `inputs`.
    #[must_use]
    pub fn with(mut self, root: &str, value: impl Into<Arc<Value>>) -> Self {
        self.set(root, value);
        self
    }

    /// Puts a value under a root name.
    pub fn set(&mut self, root: &str, value: impl Into<Arc<Value>>) {
        self.roots.insert(root.to_owned(), value.into());
    }

    fn get(&self, root: &str) -> Option<&Value> {
        self.roots.get(root).map(|value| &**value)
    }
}

/// Parses an expression and checks its functions and root names.
///
/// # Errors
/// The first thing that is wrong with it, and where.
pub fn compile(text: &str) -> Result<Compiled, ExprError> {
    let tokens = tokens::guard(text)?;
    let parsed = cel::parser::PrattParser::new()
        .max_recursion_depth(64)
        .error_reporting_limit(1)
        .max_expression_node_count(4 * MAX_LENGTH)
        .parse(text)
        .map_err(|errors| convert::syntax_error(text, &errors))?;
    let term = convert::term(&parsed, &tokens, text)?;
    Ok(Compiled { text: text.into(), term: Arc::new(term) })
}

/// The value of an expression.
///
/// # Errors
/// Why it cannot be had.
pub fn evaluate(compiled: &Compiled, scope: &Scope) -> Result<Value, Unknown> {
    evaluate::run(&compiled.term, scope)
}

/// The value of an expression as text inside other text.
///
/// # Errors
/// Why it cannot be had; null, lists and maps have no text.
pub fn text(compiled: &Compiled, scope: &Scope) -> Result<String, Unknown> {
    let value = evaluate(compiled, scope)?;
    values::text_of(&value).map_err(|_kind| {
        let kind = values::kind_of(&value);
        Unknown::because(format!("`{}` is {kind}, which cannot be put into text", compiled.text))
    })
}

/// The answer to a condition.
#[must_use]
pub fn decide(compiled: &Compiled, scope: &Scope) -> Truth {
    match evaluate(compiled, scope) {
        Ok(Value::Bool(true)) => Truth::True,
        Ok(Value::Bool(false)) => Truth::False,
        Ok(other) => Truth::Unknown(format!("`{}` is {}, not true or false", compiled.text, values::kind_of(&other))),
        Err(unknown) => Truth::Unknown(unknown.reason),
    }
}

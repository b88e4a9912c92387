//! A parsed expression in the shape that the evaluator walks.

use serde_json::Value;

use super::functions::Function;

/// A node of an expression.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Literal(Value),
    /// A root name.
    Root(String),
    /// A variable of `all`, `exists`, `map`, `filter`, or their accumulator.
    Local(String),
    Field(Box<Term>, String),
    Has(Box<Term>, String),
    Index(Box<Term>, Box<Term>),
    Not(Box<Term>),
    Negative(Box<Term>),
    /// True unless the operand is false: how `all` and `exists` know whether to go on.
    NotStrictlyFalse(Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
    If(Box<[Term; 3]>),
    Binary(Operator, Box<Term>, Box<Term>),
    Call(Function, Vec<Term>),
    /// `matches` with a written pattern, which is read once.
    Matches(Box<Term>, regex::Regex),
    List(Vec<Term>),
    Map(Vec<(Term, Term)>),
    Fold(Box<Fold>),
}

/// An operator with two operands that needs both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

/// What the macros `all`, `exists`, `exists_one`, `map` and `filter` become.
#[derive(Debug, Clone)]
pub(super) struct Fold {
    pub(super) range: Term,
    pub(super) variable: String,
    pub(super) second: Option<String>,
    pub(super) accumulator: String,
    pub(super) start: Term,
    pub(super) condition: Term,
    pub(super) step: Term,
    pub(super) result: Term,
}

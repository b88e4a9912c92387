//! The functions of expressions. Each refuses what it is not made for.

use regex::{Regex, RegexBuilder};
use serde_json::{Number, Value};

use super::Unknown;
use super::term::Term;
use super::values::{Num, compare, kind_of, number_value, text_of};

/// The longest text that an expression may build, in bytes.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    LowerAscii,
    UpperAscii,
    Trim,
    Split,
    Join,
    String,
    Int,
    Double,
    Bool,
    Abs,
    Min,
    Max,
}

/// How a function is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `f(x)`.
    Plain,
    /// `x.f(…)`.
    Method,
    /// Either.
    Both,
}

struct Row {
    name: &'static str,
    function: Function,
    style: Style,
    least: usize,
    most: usize,
}

const fn row(name: &'static str, function: Function, style: Style, least: usize, most: usize) -> Row {
    Row { name, function, style, least, most }
}

/// Name, style and number of operands, the target included.
const TABLE: [Row; 17] = [
    row("size", Function::Size, Style::Both, 1, 1),
    row("contains", Function::Contains, Style::Method, 2, 2),
    row("startsWith", Function::StartsWith, Style::Method, 2, 2),
    row("endsWith", Function::EndsWith, Style::Method, 2, 2),
    row("matches", Function::Matches, Style::Both, 2, 2),
    row("lowerAscii", Function::LowerAscii, Style::Method, 1, 1),
    row("upperAscii", Function::UpperAscii, Style::Method, 1, 1),
    row("trim", Function::Trim, Style::Method, 1, 1),
    row("split", Function::Split, Style::Method, 2, 2),
    row("join", Function::Join, Style::Method, 1, 2),
    row("string", Function::String, Style::Plain, 1, 1),
    row("int", Function::Int, Style::Plain, 1, 1),
    row("double", Function::Double, Style::Plain, 1, 1),
    row("bool", Function::Bool, Style::Plain, 1, 1),
    row("abs", Function::Abs, Style::Plain, 1, 1),
    row("min", Function::Min, Style::Plain, 1, 16),
    row("max", Function::Max, Style::Plain, 1, 16),
];

/// The names of all functions, and of the macros.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name).chain(["has", "all", "exists", "exists_one", "map", "filter"])
}

impl Function {
    pub(super) fn find(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.function)
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.function == self)
    }

    pub(super) fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// Whether it may be called like this.
    pub(super) fn check(self, on_target: bool, terms: &[Term]) -> Result<(), String> {
        let Some(row) = self.row() else { return Ok(()) };
        match (row.style, on_target) {
            (Style::Method, false) => {
                return Err(format!("`{}` is written behind its value: `x.{}(…)`", row.name, row.name));
            }
            (Style::Plain, true) => {
                return Err(format!("`{}` is written before its value: `{}(x)`", row.name, row.name));
            }
            (Style::Method | Style::Both, true) | (Style::Plain | Style::Both, false) => {}
        }
        if !(row.least..=row.most).contains(&terms.len()) {
            let given = terms.len() - usize::from(on_target);
            return Err(format!("`{}` is called with {given} arguments, which it does not take", row.name));
        }
        Ok(())
    }

    /// Its value for these operands.
    pub(super) fn call(self, operands: &[&Value]) -> Result<Value, Unknown> {
        let first = operands.first().copied().unwrap_or(&Value::Null);
        let second = operands.get(1).copied().unwrap_or(&Value::Null);
        match self {
            Self::Size => self.size(first),
            Self::Contains => Ok(Value::Bool(self.text(first)?.contains(self.text(second)?))),
            Self::StartsWith => Ok(Value::Bool(self.text(first)?.starts_with(self.text(second)?))),
            Self::EndsWith => Ok(Value::Bool(self.text(first)?.ends_with(self.text(second)?))),
            Self::Matches => {
                let pattern = pattern_of(self.text(second)?).map_err(Unknown::because)?;
                Ok(Value::Bool(pattern.is_match(self.text(first)?)))
            }
            Self::LowerAscii => Ok(Value::String(self.text(first)?.to_ascii_lowercase())),
            Self::UpperAscii => Ok(Value::String(self.text(first)?.to_ascii_uppercase())),
            Self::Trim => Ok(Value::String(self.text(first)?.trim().to_owned())),
            Self::Split => self.split(first, second),
            Self::Join => self.join(first, operands.get(1).copied()),
            Self::String => text_of(first).map(Value::String),
            Self::Int => self.int(first),
            Self::Double => self.double(first),
            Self::Bool => match (first.as_bool(), first.as_str()) {
                (Some(value), _) => Ok(Value::Bool(value)),
                (None, Some("true")) => Ok(Value::Bool(true)),
                (None, Some("false")) => Ok(Value::Bool(false)),
                (None, _) => Err(self.refuses(first)),
            },
            Self::Abs => match Num::of(first) {
                Some(Num::Int(value)) => number_value(Num::Int(value.abs())),
                Some(Num::Float(value)) => number_value(Num::Float(value.abs())),
                None => Err(self.refuses(first)),
            },
            Self::Min => self.extreme(operands, std::cmp::Ordering::Less),
            Self::Max => self.extreme(operands, std::cmp::Ordering::Greater),
        }
    }

    fn refuses(self, value: &Value) -> Unknown {
        Unknown::because(format!("`{}` cannot be used on {}", self.name(), kind_of(value)))
    }

    fn text(self, value: &Value) -> Result<&str, Unknown> {
        value.as_str().ok_or_else(|| self.refuses(value))
    }

    fn size(self, value: &Value) -> Result<Value, Unknown> {
        match value {
            Value::String(text) => Ok(Value::from(text.chars().count())),
            Value::Array(items) => Ok(Value::from(items.len())),
            Value::Object(entries) => Ok(Value::from(entries.len())),
            Value::Null | Value::Bool(_) | Value::Number(_) => Err(self.refuses(value)),
        }
    }

    fn split(self, text: &Value, separator: &Value) -> Result<Value, Unknown> {
        let (text, separator) = (self.text(text)?, self.text(separator)?);
        if text.len() > MAX_TEXT {
            return Err(Unknown::because("the text is too long for `split`"));
        }
        Ok(Value::Array(text.split(separator).map(Value::from).collect()))
    }

    fn join(self, list: &Value, separator: Option<&Value>) -> Result<Value, Unknown> {
        let Value::Array(items) = list else { return Err(self.refuses(list)) };
        let separator = separator.map_or(Ok(""), |separator| self.text(separator))?;
        let texts = items.iter().map(|item| self.text(item)).collect::<Result<Vec<_>, _>>()?;
        let joined = texts.join(separator);
        if joined.len() > MAX_TEXT {
            return Err(Unknown::because("`join` makes a text that is too long"));
        }
        Ok(Value::String(joined))
    }

    fn int(self, value: &Value) -> Result<Value, Unknown> {
        match (Num::of(value), value) {
            (Some(number @ Num::Int(_)), _) => number_value(number),
            (Some(Num::Float(number)), _) if number.abs() < 9.0e15 => {
                #[expect(clippy::cast_possible_truncation, reason = "the guard keeps it far inside of i128")]
                let whole = number.trunc() as i128;
                number_value(Num::Int(whole))
            }
            (None, Value::String(text)) => {
                text.trim().parse::<i64>().map(Value::from).map_err(|_error| self.cannot_read(text))
            }
            (Some(Num::Float(_)) | None, other) => Err(self.refuses(other)),
        }
    }

    fn double(self, value: &Value) -> Result<Value, Unknown> {
        match (Num::of(value), value) {
            (Some(number), _) => number_value(Num::Float(number.as_f64())),
            (None, Value::String(text)) => match text.trim().parse::<f64>().ok().and_then(Number::from_f64) {
                Some(number) => Ok(Value::Number(number)),
                None => Err(self.cannot_read(text)),
            },
            (None, other) => Err(self.refuses(other)),
        }
    }

    fn cannot_read(self, text: &str) -> Unknown {
        let shown: String = text.chars().take(40).collect();
        Unknown::because(format!("`{}` cannot read a number from `{shown}`", self.name()))
    }

    fn extreme(self, operands: &[&Value], wanted: std::cmp::Ordering) -> Result<Value, Unknown> {
        let values: Vec<&Value> = match operands {
            [Value::Array(items)] => items.iter().collect(),
            others => others.to_vec(),
        };
        let mut best: Option<&Value> = None;
        for value in values {
            if Num::of(value).is_none() {
                return Err(self.refuses(value));
            }
            let replaces = match best {
                None => true,
                Some(best) => compare(value, best)? == wanted,
            };
            if replaces {
                best = Some(value);
            }
        }
        best.cloned().ok_or_else(|| Unknown::because(format!("`{}` of an empty list", self.name())))
    }
}

/// A pattern, small enough to be harmless.
pub(super) fn pattern_of(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(1 << 20).build();
    built.map_err(|_error| format!("`{text}` is not a regular expression"))
}

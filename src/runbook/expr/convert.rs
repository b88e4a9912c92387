//! The parser's tree becomes ours: names are checked, functions found, what we do not offer refused.

use std::ops::Range;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr as Cel, IdedExpr, LiteralValue, operators};
use cel::parser::ParseErrors;
use serde_json::{Number, Value};

use super::functions::{self, Function};
use super::term::{Fold, Operator, Term};
use super::tokens::{Kind, Token};
use super::{ExprError, ExprErrorKind, ROOTS};
use crate::runbook::problem::nearest;
use crate::runbook::source::{boundary_after, boundary_before};

/// The first of the parser's errors in our words.
pub(super) fn syntax_error(text: &str, errors: &ParseErrors) -> ExprError {
    let Some(first) = errors.errors.first() else {
        return error(ExprErrorKind::Syntax, "the expression cannot be read", 0..text.len());
    };
    let range = first.source_info.as_ref().and_then(|info| info.offset_for(first.expr_id));
    let at = match range {
        Some((start, stop)) if (start as usize) < text.len() => {
            let start = boundary_before(text, start as usize);
            let stop = boundary_after(text, (stop as usize).clamp(start + 1, text.len()));
            start..stop
        }
        Some(_) | None => text.trim_end().len()..text.len(),
    };
    let found = text.get(at.clone()).unwrap_or("");
    let message = if found.trim().is_empty() {
        "the expression ends too early".to_owned()
    } else if found.starts_with(|c: char| c.is_alphanumeric() || c == '"' || c == '\'') {
        format!("an operator is missing before `{found}`")
    } else {
        format!("`{found}` is not expected here")
    };
    let message =
        if first.msg.starts_with("Syntax error") || found.trim().is_empty() { message } else { first.msg.clone() };
    error(ExprErrorKind::Syntax, message, at)
}

fn error(kind: ExprErrorKind, message: impl Into<String>, at: Range<usize>) -> ExprError {
    ExprError { kind, message: message.into(), at, help: None }
}

/// Converts a parsed expression.
pub(super) fn term(parsed: &IdedExpr, tokens: &[Token], text: &str) -> Result<Term, ExprError> {
    Converter { tokens, text, locals: Vec::new() }.term(parsed)
}

struct Converter<'a> {
    tokens: &'a [Token],
    text: &'a str,
    locals: Vec<String>,
}

impl Converter<'_> {
    fn term(&mut self, parsed: &IdedExpr) -> Result<Term, ExprError> {
        match &parsed.expr {
            Cel::Literal(literal) => self.literal(literal),
            Cel::Ident(name) => self.name(name),
            Cel::Select(select) => {
                let operand = Box::new(self.term(&select.operand)?);
                let field = select.field.clone();
                Ok(if select.test { Term::Has(operand, field) } else { Term::Field(operand, field) })
            }
            Cel::Call(call) => self.call(call),
            Cel::List(list) => {
                let items = list.elements.iter().map(|item| self.term(item));
                Ok(Term::List(items.collect::<Result<_, _>>()?))
            }
            Cel::Map(map) => {
                let mut entries = Vec::new();
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            entries.push((self.term(&entry.key)?, self.term(&entry.value)?));
                        }
                        EntryExpr::StructField(_) => return Err(self.unsupported("a message")),
                    }
                }
                Ok(Term::Map(entries))
            }
            Cel::Comprehension(fold) => self.fold(fold),
            Cel::Struct(_) => Err(self.unsupported("a message")),
            Cel::Unspecified => Err(self.unsupported("an empty expression")),
        }
    }

    fn unsupported(&self, what: &str) -> ExprError {
        error(ExprErrorKind::Syntax, format!("{what} cannot be written here"), 0..self.text.len())
    }

    fn literal(&self, literal: &LiteralValue) -> Result<Term, ExprError> {
        let value = match literal {
            LiteralValue::Boolean(value) => Value::Bool(**value),
            LiteralValue::Null => Value::Null,
            LiteralValue::Int(value) => Value::from(**value),
            LiteralValue::UInt(value) => Value::from(**value),
            LiteralValue::Double(value) => match Number::from_f64(**value) {
                Some(number) => Value::Number(number),
                None => return Err(self.unsupported("a number that is not finite")),
            },
            LiteralValue::String(value) => Value::String(value.inner().to_owned()),
            LiteralValue::Bytes(_) => return Err(self.unsupported("a value of bytes")),
        };
        Ok(Term::Literal(value))
    }

    fn name(&self, name: &str) -> Result<Term, ExprError> {
        if self.locals.iter().any(|local| local == name) {
            return Ok(Term::Local(name.to_owned()));
        }
        if ROOTS.contains(&name) {
            return Ok(Term::Root(name.to_owned()));
        }
        let place = self.place(name, None);
        let dashed = self.dashed(&place);
        let mut wrong = error(ExprErrorKind::Root, format!("`{name}` is not a name that expressions know"), place);
        wrong.help = Some(match (dashed, nearest(name, ROOTS)) {
            (Some(key), _) => format!("a key with `-` in it stands in brackets: `[\"{key}\"]`"),
            (None, _) if name == "secrets" => {
                "a secret stands alone in `with` or `env`: `${{ secrets.NAME }}`".to_owned()
            }
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("expressions begin with {}; text stands in quotes", listed(&ROOTS)),
        });
        Err(wrong)
    }

    /// The whole key, if the name is the part behind the dash of something like `steps.smoke-test`.
    fn dashed(&self, place: &Range<usize>) -> Option<&str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let before = self.text.get(..place.start)?;
        let start = before.rfind(|c| !is_part(c))? + 1;
        let joined = before.ends_with('-') && before.get(..start)?.ends_with('.') && start + 1 < place.start;
        let length = self.text.get(place.start..)?.find(|c| !is_part(c));
        let end = length.map_or(self.text.len(), |length| place.start + length);
        self.text.get(start..end).filter(|_| joined)
    }

    /// Where a name stands that is followed by a symbol, or by none in particular.
    fn place(&self, name: &str, follower: Option<&str>) -> Range<usize> {
        let piece = |index: usize| self.tokens.get(index).and_then(|token| self.text.get(token.at.clone()));
        let found = self.tokens.iter().enumerate().find(|(index, token)| {
            let after_dot = index.checked_sub(1).and_then(piece) == Some(".");
            token.kind == Kind::Name
                && piece(*index) == Some(name)
                && match follower {
                    Some(symbol) => piece(index + 1) == Some(symbol),
                    None => !after_dot,
                }
        });
        found.map_or(0..self.text.len(), |(_, token)| token.at.clone())
    }

    fn call(&mut self, call: &CallExpr) -> Result<Term, ExprError> {
        let operands = call.target.iter().map(|target| &**target).chain(&call.args);
        let mut terms = operands.map(|operand| self.term(operand)).collect::<Result<Vec<_>, _>>()?;
        if let Some(operator) = binary(&call.func_name)
            && let (2, Some(right), Some(left)) = (terms.len(), terms.pop(), terms.pop())
        {
            return Ok(Term::Binary(operator, Box::new(left), Box::new(right)));
        }
        match (call.func_name.as_str(), terms.len()) {
            (operators::CONDITIONAL, 3) => match <[Term; 3]>::try_from(terms) {
                Ok(parts) => Ok(Term::If(Box::new(parts))),
                Err(_) => Err(self.unsupported("a condition without its parts")),
            },
            (name, 2) if matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR | operators::INDEX) => {
                let (Some(right), Some(left)) = (terms.pop().map(Box::new), terms.pop().map(Box::new)) else {
                    return Err(self.unsupported("an operator without its operands"));
                };
                Ok(match name {
                    operators::LOGICAL_AND => Term::And(left, right),
                    operators::LOGICAL_OR => Term::Or(left, right),
                    _ => Term::Index(left, right),
                })
            }
            (name, 1) if matches!(name, operators::LOGICAL_NOT | operators::NEGATE | operators::NOT_STRICTLY_FALSE) => {
                let Some(operand) = terms.pop().map(Box::new) else {
                    return Err(self.unsupported("an operator without its operand"));
                };
                Ok(match name {
                    operators::LOGICAL_NOT => Term::Not(operand),
                    operators::NEGATE => Term::Negative(operand),
                    _ => Term::NotStrictlyFalse(operand),
                })
            }
            (name, _) => self.function(name, call.target.is_some(), terms),
        }
    }

    fn function(&self, name: &str, on_target: bool, terms: Vec<Term>) -> Result<Term, ExprError> {
        let place = self.place(name, Some("("));
        let Some(function) = Function::find(name) else {
            let mut wrong = error(ExprErrorKind::Function, format!("there is no function `{name}`"), place);
            wrong.help = Some(match nearest(name, functions::names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", listed(&functions::names().collect::<Vec<_>>())),
            });
            return Err(wrong);
        };
        let wrong = |message| error(ExprErrorKind::Function, message, place.clone());
        function.check(on_target, &terms).map_err(wrong)?;
        match <[Term; 2]>::try_from(terms) {
            Ok([text, Term::Literal(Value::String(pattern))]) if function == Function::Matches => {
                let pattern = functions::pattern_of(&pattern).map_err(wrong)?;
                Ok(Term::Matches(Box::new(text), pattern))
            }
            Ok(terms) => Ok(Term::Call(function, terms.into())),
            Err(terms) => Ok(Term::Call(function, terms)),
        }
    }

    fn fold(&mut self, fold: &ComprehensionExpr) -> Result<Term, ExprError> {
        let range = self.term(&fold.iter_range)?;
        let start = self.term(&fold.accu_init)?;
        let depth = self.locals.len();
        self.locals.push(fold.accu_var.clone());
        let result = self.term(&fold.result)?;
        self.locals.push(fold.iter_var.clone());
        self.locals.extend(fold.iter_var2.clone());
        let condition = self.term(&fold.loop_cond)?;
        let step = self.term(&fold.loop_step)?;
        self.locals.truncate(depth);
        Ok(Term::Fold(Box::new(Fold {
            range,
            variable: fold.iter_var.clone(),
            second: fold.iter_var2.clone(),
            accumulator: fold.accu_var.clone(),
            start,
            condition,
            step,
            result,
        })))
    }
}

fn binary(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessOrEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterOrEqual,
        operators::IN => Operator::In,
        _ => return None,
    })
}

/// Names with commas between them: `` `a`, `b` and `c` ``.
fn listed(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => {
            let rest: Vec<String> = rest.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", rest.join(", "))
        }
        Some((last, _)) => format!("`{last}`"),
        None => String::new(),
    }
}

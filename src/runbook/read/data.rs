//! Free-form values: `with`, `inputs`, `params`, `contacts`.

use super::Reader;
use super::conditions::Placeholders;
use super::map::Field;
use crate::runbook::codes;
use crate::runbook::model::{Bindings, Data, DataValue};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Span, Text};
use crate::runbook::template;
use crate::runbook::yaml::{Content, Node};

impl Reader<'_> {
    /// Any value.
    pub(super) fn data(&mut self, node: Node, allowed: Placeholders) -> Data {
        let span = node.span;
        let value = match node.content {
            Content::Null => DataValue::Null,
            Content::Scalar(scalar) => match (scalar.as_bool(), scalar.as_number()) {
                (Some(value), _) => DataValue::Bool(value),
                (None, Some(number)) => {
                    if scalar.loses_digits() {
                        self.lost_digits(&scalar.text, &number, span);
                    }
                    DataValue::Number(number)
                }
                (None, None) => {
                    self.placeholders(&scalar.text, span, allowed);
                    DataValue::Text(scalar.text)
                }
            },
            Content::Seq(items) => DataValue::List(items.into_iter().map(|item| self.data(item, allowed)).collect()),
            content @ Content::Map(_) => {
                let entries = self.entries(Node { content, span });
                let data = |(key, value): (Text, Node)| {
                    self.check_key(&key);
                    let value = self.data(value, allowed);
                    (key, value)
                };
                DataValue::Map(entries.into_iter().map(data).collect())
            }
        };
        Data { value, span }
    }

    fn lost_digits(&mut self, text: &str, number: &serde_json::Number, span: Span) {
        let shown = number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string());
        let problem =
            Problem::warning(codes::LOST_DIGITS, format!("`{text}` is a number and will be written `{shown}`"))
                .at(span, "a number")
                .help(format!("a version or a code needs quotes: \"{text}\"; a number is written `{shown}`"));
        self.report(problem);
    }

    fn check_key(&mut self, key: &Text) {
        if template::has_placeholder(&key.value) {
            let problem = Problem::new(codes::BAD_TEMPLATE, "placeholders are not filled in keys")
                .at(key.span, "a key is used as it is written");
            self.report(problem);
        }
    }

    /// A map of any values, such as `with`.
    pub(super) fn data_map(&mut self, field: Field, allowed: Placeholders) -> Option<Data> {
        if !matches!(field.node.content, Content::Map(_)) {
            self.expected(&field.node, "a map", &format!("`{}` must be a map", field.name));
            return None;
        }
        Some(self.data(field.node, allowed))
    }

    /// Names bound to values.
    pub(super) fn bindings(&mut self, field: Field, allowed: Placeholders) -> Option<Bindings> {
        if !matches!(field.node.content, Content::Map(_)) {
            self.expected(&field.node, "a map of names and values", &format!("`{}` must be a map", field.name));
            return None;
        }
        let entries = self.entries(field.node);
        let mut bindings = Bindings::with_capacity(entries.len());
        for (name, node) in entries {
            if self.check_name(&name, field.name) {
                bindings.push((name, self.data(node, allowed)));
            }
        }
        Some(bindings)
    }
}

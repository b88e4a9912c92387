//! Entries of lists of steps: names, names with parameters, definitions, approvals, manual steps.

use std::sync::Arc;

use super::Reader;
use super::conditions::Placeholders;
use super::map::{Field, Fields};
use super::values::Bounds;
use crate::runbook::codes;
use crate::runbook::keys;
use crate::runbook::model::{ApprovalDef, Bindings, Entry, EscalationDef, ManualDef, StepList};
use crate::runbook::problem::{Problem, nearest};
use crate::runbook::source::{Span, Spanned, Text};
use crate::runbook::words::Relay;
use crate::runbook::yaml::{Content, Node};

/// The fields of an answer, with their types.
type Answer = Vec<(Text, Spanned<crate::runbook::words::ParamType>)>;

/// An entry of a list before it is known what it is.
pub(super) enum Form {
    Named { name: Text, params: Bindings, span: Span },
    Defined(Node),
}

impl Reader<'_> {
    /// A list of steps.
    pub(super) fn steps(&mut self, field: Field) -> Option<StepList> {
        let key = field.key;
        let items = self.items(field, "steps")?;
        let written = items.len();
        let entries: Vec<Entry> = items.into_iter().filter_map(|item| self.entry(item)).collect();
        Some(StepList { key, flawed: entries.len() < written, entries })
    }

    fn entry(&mut self, item: Field) -> Option<Entry> {
        if has_key(&item.node, "approval") {
            return self.approval(item.node).map(|approval| Entry::Approval(Box::new(approval)));
        }
        if has_key(&item.node, "manual") {
            return self.manual(item.node).map(|manual| Entry::Manual(Box::new(manual)));
        }
        match self.form(item, &["id", "step", "uses"])? {
            Form::Named { name, params, span } => Some(Entry::Named { name, params, span }),
            Form::Defined(node) => {
                let mut step = self.step(node, keys::STEP)?;
                if step.id.is_none() {
                    step.id.clone_from(&step.step);
                }
                if step.id.is_none() {
                    self.missing(keys::STEP, step.span, "id", "give it a name: `id: my_step`");
                    return None;
                }
                Some(Entry::Inline(Box::new(step)))
            }
        }
    }

    /// Tells a name (with parameters or without) from a definition, which has one of the `marks`.
    pub(super) fn form(&mut self, item: Field, marks: &[&str]) -> Option<Form> {
        let span = item.node.span;
        match &item.node.content {
            Content::Scalar(_) => {
                let name = self.name(&item)?;
                return Some(Form::Named { name, params: Bindings::new(), span });
            }
            Content::Map(_) if marks.iter().any(|mark| has_key(&item.node, mark)) => {
                return Some(Form::Defined(item.node));
            }
            Content::Map(entries) if entries.len() == 1 => {}
            Content::Map(entries) => {
                let problem = self.neither(entries, span, item.name);
                self.report(problem);
                return None;
            }
            Content::Null | Content::Seq(_) => {
                self.expected(
                    &item.node,
                    "a name or a map",
                    &format!("an entry of `{}` must be a name or a map", item.name),
                );
                return None;
            }
        }
        let (name, value) = self.entries(item.node).pop()?;
        if !self.check_name(&name, item.name) {
            return None;
        }
        let params = match &value.content {
            Content::Null => Bindings::new(),
            Content::Map(_) => {
                let field = Field { name: "params", key: name.span, node: value };
                self.bindings(field, Placeholders::Expressions)?
            }
            Content::Scalar(_) | Content::Seq(_) => {
                let known = ["approval", "manual", "id", "step", "uses"];
                let mut problem = Problem::new(
                    codes::WRONG_TYPE,
                    format!("the parameters of `{}` must be a map, found {}", name.value, value.kind()),
                )
                .at(self.head(value.span), "expected a map of parameters");
                if let Some(near) = nearest(&name.value, known) {
                    problem = problem.help(format!("did you mean the key `{near}`?"));
                }
                self.report(problem);
                return None;
            }
        };
        Some(Form::Named { name, params, span })
    }

    /// A map of several keys that is neither a name with parameters nor a definition.
    fn neither(&self, entries: &[(Node, Node)], span: Span, list: &str) -> Problem {
        let first = entries.first();
        let text_of = |node: &Node| match &node.content {
            Content::Scalar(scalar) => Some(scalar.text.clone()),
            Content::Null | Content::Seq(_) | Content::Map(_) => None,
        };
        if let Some((key, value)) = first
            && value.content == Content::Null
            && let Some(name) = text_of(key)
        {
            let second = entries.get(1).map_or(span, |(key, _)| key.span);
            return Problem::new(codes::WRONG_TYPE, format!("the parameters of `{name}` are not indented"))
                .at(second, "stands beside the name, not below it")
                .also(key.span, "the name")
                .help(format!("indent them further, or write `- {name}: {{ … }}`"));
        }
        Problem::new(codes::MISSING_KEY, format!("an entry of `{list}` has neither a name nor an `id`"))
            .at(self.head(span), "neither a name with parameters nor a definition")
            .help("write `- NAME`, `- NAME: { … }`, or a map with `id`")
    }

    fn approval(&mut self, node: Node) -> Option<ApprovalDef> {
        let mut fields = self.fields(node, keys::APPROVAL)?;
        let id = fields.take("approval").and_then(|field| self.name(&field));
        let approval = |reader: &mut Self, fields: &mut Fields, id: Text| ApprovalDef {
            span: fields.span,
            id,
            description: fields.take("description").and_then(|field| reader.instructions(&field)),
            roles: fields.take("roles").and_then(|field| reader.names(field)),
            quorum: fields.take("quorum").and_then(|field| reader.count(&field, 1..=100)),
            not_requester: fields.take("notRequester").and_then(|field| reader.boolean(&field)),
            expires: fields.take("expires").and_then(|field| reader.duration(&field, Bounds::POSITIVE)),
            remind_every: fields.take("remindEvery").and_then(|field| reader.duration(&field, Bounds::PERIOD)),
            escalate: fields.take("escalate").map(|field| reader.escalate(field)).unwrap_or_default(),
            relayed: fields.take("relayed").and_then(|field| {
                let relay = reader.word::<Relay>(&field)?;
                Some(relay.map(|relay| relay == Relay::Allowed))
            }),
            names: fields.take("names").and_then(|field| reader.names(field)),
            needs: fields.take("needs").and_then(|field| reader.names(field)),
        };
        // The other keys are read even if the name is unusable: their mistakes are shown too.
        let named = id.clone().unwrap_or_else(|| Text::new("".into(), fields.span));
        let approval = approval(self, &mut fields, named);
        id.map(|_| approval)
    }

    fn escalate(&mut self, field: Field) -> Vec<EscalationDef> {
        let items = self.items(field, "escalations").unwrap_or_default();
        let mut rungs = Vec::with_capacity(items.len());
        for item in items {
            let Some(mut fields) = self.fields(item.node, keys::ESCALATION) else { continue };
            let span = fields.span;
            if let Some(key) = ["after", "to"].into_iter().find(|key| !fields.has(key)) {
                self.missing(keys::ESCALATION, span, key, "write `{ after: 10m, to: duty-manager }`");
            }
            let after = fields.take("after").and_then(|field| self.duration(&field, Bounds::ANY));
            let to = fields.take("to").and_then(|field| self.name(&field));
            if let (Some(after), Some(to)) = (after, to) {
                rungs.push(EscalationDef { after, to });
            }
        }
        rungs
    }

    fn manual(&mut self, node: Node) -> Option<ManualDef> {
        let errors = self.errors;
        let mut fields = self.fields(node, keys::MANUAL)?;
        let instructions = fields.take("manual").and_then(|field| self.instructions(&field));
        let answer = fields.take("answer").map(|field| self.answer(field)).unwrap_or_default();
        let default = fields.take("default").map(|field| (field.key, self.bindings(field, Placeholders::None)));
        if let Some((at, default)) = &default {
            let has_timeout = fields.has("timeout");
            self.check_default(*at, default.as_ref(), &answer, has_timeout);
        }
        let default = default.and_then(|(_, default)| default);
        let roles = fields.take("roles").and_then(|field| self.names(field));
        let mut def = self.step_body(fields, errors);
        let instructions = instructions?;
        if def.id.is_none() {
            def.id = Some(Spanned::new(slug(&instructions.value), instructions.span));
        }
        Some(ManualDef { instructions, answer, default, roles, def })
    }

    /// A default is a whole answer, and there is a time at which it counts.
    fn check_default(&mut self, at: Span, default: Option<&Bindings>, answer: &Answer, has_timeout: bool) {
        if !has_timeout {
            let problem = Problem::new(codes::MISSING_KEY, "a default answer needs a `timeout`")
                .at(at, "counts when the time is up")
                .help("write `timeout: 30m`, or leave the default out: then people are asked until they answer");
            self.report(problem);
        }
        let Some(default) = default else { return };
        for (name, value) in default {
            let Some((_, kind)) = answer.iter().find(|(known, _)| known.value == name.value) else {
                let problem = Problem::new(codes::UNKNOWN_KEY, format!("nobody is asked for `{}`", name.value))
                    .at(name.span, "not a field of `answer`")
                    .suggest(&name.value, answer.iter().map(|(known, _)| &*known.value));
                self.report(problem);
                continue;
            };
            if let Some(expected) = kind.value.expected_instead_of(&value.to_json()) {
                let problem = Problem::new(codes::WRONG_TYPE, format!("`{}` must be {expected}", name.value))
                    .at(value.span, format!("expected {expected}"))
                    .also(kind.span, "declared here");
                self.report(problem);
            }
        }
        for (name, kind) in
            answer.iter().filter(|(name, _)| !default.iter().any(|(given, _)| given.value == name.value))
        {
            let problem = Problem::new(codes::MISSING_KEY, format!("the default answer lacks `{}`", name.value))
                .at(at, "must hold every field of `answer`")
                .also(kind.span, "asked for here");
            self.report(problem);
        }
    }

    fn answer(&mut self, field: Field) -> Answer {
        if !matches!(field.node.content, Content::Map(_)) {
            self.expected(&field.node, "a map of names and types", "`answer` must be a map");
            return Vec::new();
        }
        let entries = self.entries(field.node);
        let mut answers = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            let kind = Field { name: "answer", key: name.span, node };
            if self.check_name(&name, "answer")
                && let Some(kind) = self.word(&kind)
            {
                answers.push((name, kind));
            }
        }
        answers
    }
}

/// A name made from instructions: `recable the tape robot` becomes `recable_the_tape_robot`.
fn slug(instructions: &str) -> Arc<str> {
    let words = instructions.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = String::new();
    for word in words.take(8) {
        if name.len() + word.len() > 60 {
            break;
        }
        if !name.is_empty() {
            name.push('_');
        }
        name.push_str(&word.to_ascii_lowercase());
    }
    if name.is_empty() { "manual".into() } else { name.into() }
}

/// Whether a map has a key.
pub(super) fn has_key(node: &Node, name: &str) -> bool {
    match &node.content {
        Content::Map(entries) => {
            entries.iter().any(|(key, _)| matches!(&key.content, Content::Scalar(scalar) if &*scalar.text == name))
        }
        Content::Null | Content::Scalar(_) | Content::Seq(_) => false,
    }
}

//! The runbook itself and the site document; which kind a document is.

use std::collections::BTreeMap;

use super::Reader;
use super::conditions::Placeholders;
use super::map::{Field, Fields};
use crate::runbook::codes;
use crate::runbook::keys::{self, Shape};
use crate::runbook::model::{Person, Requirement, Runbook, SignOffDef, Site, StepList};
use crate::runbook::problem::{Problem, nearest};
use crate::runbook::source::{Spanned, Text};
use crate::runbook::words::Section;
use crate::runbook::yaml::{Content, Node};

/// The kinds of documents.
pub(super) const KINDS: [Shape; 4] = [keys::RUNBOOK, keys::CATALOG, keys::OVERLAY, keys::SITE];

impl Reader<'_> {
    pub(super) fn runbook(&mut self, root: Node) -> Option<Runbook> {
        let mut fields = self.document(root, keys::RUNBOOK)?;
        let span = fields.span;
        if !fields.has("application") {
            self.missing(keys::RUNBOOK, span, "application", "name the application that moves");
        }
        let windowless = !["rollbackWindow", "rollbackWindowMinutes"].iter().any(|key| fields.has(key));
        if windowless {
            let help =
                "say how long the engine may go back by itself: `rollbackWindow: 90m`, or `rollbackWindowMinutes: 90`";
            self.missing(keys::RUNBOOK, span, "rollbackWindow", help);
        }
        if !fields.has("cutoverSteps") {
            self.missing(keys::RUNBOOK, span, "cutoverSteps", "list the steps that move the application");
        }
        let application = fields.take("application").and_then(|field| self.name(&field));
        Some(Runbook {
            file: self.file,
            span,
            application: application.unwrap_or_else(|| Text::new("unnamed".into(), self.head(span))),
            wave: fields.take("wave").and_then(|field| self.label(&field)),
            source_platform: fields.take("sourcePlatform").and_then(|field| self.name(&field)),
            source_cluster: fields.take("sourceCluster").and_then(|field| self.name(&field)),
            target_platform: fields.take("targetPlatform").and_then(|field| self.name(&field)),
            target_cluster: fields.take("targetCluster").and_then(|field| self.name(&field)),
            inputs: self.inputs(&mut fields),
            catalogs: fields.take("catalogs").map(|field| self.texts(field)).unwrap_or_default(),
            requires: fields.take("requires").map(|field| self.requires(field)).unwrap_or_default(),
            locks: fields
                .take("locks")
                .and_then(|field| self.locks(field))
                .map(|locks| locks.value)
                .unwrap_or_default(),
            sign_offs: fields.take("signOffs").map(|field| self.sign_offs(field)).unwrap_or_default(),
            settings: self.settings(&mut fields),
            sections: self.sections(&mut fields),
            rollback_criteria: fields.take("rollbackCriteria").and_then(|field| self.criteria(field)),
        })
    }

    /// Opens a document and checks that it is of this kind.
    pub(super) fn document(&mut self, root: Node, shape: Shape) -> Option<Fields> {
        let span = root.span;
        let kind = match &root.content {
            Content::Map(entries) => entries.iter().find_map(|(key, value)| match (&key.content, &value.content) {
                (Content::Scalar(key), Content::Scalar(kind)) if &*key.text == "kind" => {
                    Some(Text::new(kind.text.clone(), value.span))
                }
                _ => None,
            }),
            Content::Null | Content::Scalar(_) | Content::Seq(_) => {
                self.expected(&root, "a map", "a document must be a map");
                return None;
            }
        };
        let problem = match &kind {
            Some(kind) if &*kind.value == shape.schema => None,
            Some(kind) => {
                let known = KINDS.map(|shape| shape.schema);
                let known_kind = KINDS.iter().find(|other| other.schema == &*kind.value);
                let label =
                    known_kind.map_or_else(|| "no such kind".to_owned(), |other| format!("this is {}", other.what));
                let mut problem =
                    Problem::new(codes::WRONG_KIND, format!("{} is expected here", shape.what)).at(kind.span, label);
                if known_kind.is_some_and(|other| *other == keys::SITE) {
                    problem = problem.help("a site document is read by `bascule lint` only: no verb uses one yet");
                }
                if known_kind.is_none()
                    && let Some(near) = nearest(&kind.value, known)
                {
                    problem = problem.help(format!("did you mean `{near}`?"));
                }
                Some(problem)
            }
            None if shape == keys::RUNBOOK => None,
            None => Some(
                Problem::new(codes::WRONG_KIND, format!("{} is expected here", shape.what))
                    .at(self.head(span), "a document without `kind` is a runbook")
                    .help(format!("begin the file with `kind: {}`", shape.schema)),
            ),
        };
        if let Some(problem) = problem {
            self.report(problem);
            return None;
        }
        let mut fields = self.fields(root, shape)?;
        drop(fields.take("kind"));
        Some(fields)
    }

    pub(super) fn inputs(&mut self, fields: &mut Fields) -> Vec<(Text, crate::runbook::model::Data)> {
        fields.take("inputs").and_then(|field| self.bindings(field, Placeholders::None)).unwrap_or_default()
    }

    /// The lists of steps whose keys are written.
    pub(super) fn sections(&mut self, fields: &mut Fields) -> BTreeMap<Section, StepList> {
        let mut sections = BTreeMap::new();
        for section in Section::ALL {
            if let Some(list) = fields.take(section.key()).and_then(|field| self.steps(field)) {
                sections.insert(section, list);
            }
        }
        sections
    }

    fn texts(&mut self, field: Field) -> Vec<Text> {
        let items = self.items(field, "text").unwrap_or_default();
        items.iter().filter_map(|item| self.text(item)).collect()
    }

    fn requires(&mut self, field: Field) -> Vec<Requirement> {
        let items = self.items(field, "applications").unwrap_or_default();
        let mut requires = Vec::with_capacity(items.len());
        for item in items {
            let Some(mut fields) = self.fields(item.node, keys::REQUIREMENT) else { continue };
            let span = fields.span;
            if !fields.has("app") {
                self.missing(keys::REQUIREMENT, span, "app", "name the application that must stand first");
            }
            let app = fields.take("app").and_then(|field| self.name(&field));
            let state = fields.take("state").and_then(|field| self.word(&field));
            let on_its_rollback = fields.take("onItsRollback").and_then(|field| self.word(&field));
            if let Some(app) = app {
                requires.push(Requirement { span, app, state, on_its_rollback });
            }
        }
        requires
    }

    fn sign_offs(&mut self, field: Field) -> Vec<SignOffDef> {
        let items = self.items(field, "sign-offs").unwrap_or_default();
        let mut sign_offs = Vec::with_capacity(items.len());
        for item in items {
            let Some(mut fields) = self.fields(item.node, keys::SIGN_OFF) else { continue };
            let span = fields.span;
            if let Some(key) = ["role", "what"].into_iter().find(|key| !fields.has(key)) {
                self.missing(
                    keys::SIGN_OFF,
                    span,
                    key,
                    "write `{ role: operations, what: \"we own it from now on\" }`",
                );
            }
            let role = fields.take("role").and_then(|field| self.name(&field));
            let what = fields.take("what").and_then(|field| self.text(&field));
            let proves = fields.take("proves").and_then(|field| self.word(&field));
            if let (Some(role), Some(what)) = (role, what) {
                sign_offs.push(SignOffDef { role, what, proves });
            }
        }
        sign_offs
    }

    pub(super) fn site(&mut self, root: Node) -> Option<Site> {
        let mut fields = self.document(root, keys::SITE)?;
        Some(Site {
            file: self.file,
            span: fields.span,
            capacities: fields.take("capacities").map(|field| self.capacities(field)).unwrap_or_default(),
            people: fields.take("people").map(|field| self.people(field)).unwrap_or_default(),
            channels: fields
                .take("channels")
                .and_then(|field| self.bindings(field, Placeholders::WithSecrets))
                .unwrap_or_default(),
        })
    }

    fn capacities(&mut self, field: Field) -> Vec<(Text, Spanned<u64>)> {
        if !matches!(field.node.content, Content::Map(_)) {
            self.expected(&field.node, "a map of locks and quantities", "`capacities` must be a map");
            return Vec::new();
        }
        let mut capacities = Vec::new();
        for (name, node) in self.entries(field.node) {
            let quantity = Field { name: "capacities", key: name.span, node };
            if let Some(quantity) = self.quantity(&quantity) {
                capacities.push((name, quantity));
            }
        }
        capacities
    }

    fn people(&mut self, field: Field) -> Vec<Person> {
        let items = self.items(field, "people").unwrap_or_default();
        let mut people = Vec::with_capacity(items.len());
        for item in items {
            let Some(mut fields) = self.fields(item.node, keys::PERSON) else { continue };
            let span = fields.span;
            if !fields.has("name") {
                self.missing(keys::PERSON, span, "name", "write the login name");
            }
            let name = fields.take("name").and_then(|field| self.name(&field));
            let roles = fields.take("roles").and_then(|field| self.names(field)).map(|roles| roles.value);
            let reach = fields.take("reach").map(|field| self.data(field.node, Placeholders::None));
            if let Some(name) = name {
                people.push(Person { span, name, roles: roles.unwrap_or_default(), reach });
            }
        }
        people
    }
}

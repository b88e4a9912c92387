//! Catalogs.

use super::Reader;
use super::map::{Field, Fields};
use crate::runbook::keys::{self, Shape};
use crate::runbook::model::{Catalog, CatalogFor, CriterionDef, Defaults, Names, StepDef};
use crate::runbook::yaml::{Content, Node};

impl Reader<'_> {
    pub(super) fn catalog(&mut self, root: Node) -> Option<Catalog> {
        let mut fields = self.document(root, keys::CATALOG)?;
        Some(Catalog {
            file: self.file,
            span: fields.span,
            description: fields.take("description").and_then(|field| self.text(&field)),
            platforms: fields.take("for").and_then(|field| self.platforms(field)),
            verified: fields.take("verified").and_then(|field| self.text(&field)),
            params: fields.take("params").and_then(|field| self.declared(field)).unwrap_or_default(),
            steps: self.step_definitions(&mut fields, keys::CATALOG_STEP),
            criteria: self.criterion_definitions(&mut fields, keys::CATALOG_CRITERION),
            defaults: fields.take("defaults").map(|field| self.defaults(field)).unwrap_or_default(),
        })
    }

    fn platforms(&mut self, field: Field) -> Option<CatalogFor> {
        let mut fields = self.fields(field.node, keys::FOR)?;
        let platforms = CatalogFor {
            span: fields.span,
            source_platform: fields.take("sourcePlatform").and_then(|field| self.name(&field)),
            target_platform: fields.take("targetPlatform").and_then(|field| self.name(&field)),
        };
        if platforms.source_platform.is_none() && platforms.target_platform.is_none() {
            let help = "name one platform at least; without `for` a catalog is used only when it is named";
            self.missing(keys::FOR, platforms.span, "targetPlatform", help);
        }
        Some(platforms)
    }

    /// `steps` of a catalog or an overlay.
    pub(super) fn step_definitions(&mut self, fields: &mut Fields, shape: Shape) -> Names<StepDef> {
        let mut names = Names::default();
        for definition in self.definitions(fields.take("steps")) {
            if let Some(mut step) = self.step(definition.node, shape) {
                step.id = Some(definition.name.clone());
                names.insert(definition.name, step);
            }
        }
        names
    }

    /// `criteria` of a catalog or an overlay.
    pub(super) fn criterion_definitions(&mut self, fields: &mut Fields, shape: Shape) -> Names<CriterionDef> {
        let mut names = Names::default();
        for definition in self.definitions(fields.take("criteria")) {
            if let Some(mut criterion) = self.criterion(definition.node, shape) {
                criterion.id = Some(definition.name.clone());
                names.insert(definition.name, criterion);
            }
        }
        names
    }

    fn definitions(&mut self, field: Option<Field>) -> Vec<Definition> {
        let Some(field) = field else { return Vec::new() };
        if !matches!(field.node.content, Content::Map(_)) {
            let message = format!("`{}` must be a map of names and definitions", field.name);
            self.expected(&field.node, "a map of names and definitions", &message);
            return Vec::new();
        }
        let name = field.name;
        let entries = self.entries(field.node);
        let mut definitions = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            if self.check_name(&key, name) {
                definitions.push(Definition { name: key, node });
            }
        }
        definitions
    }

    fn defaults(&mut self, field: Field) -> Defaults {
        let Some(mut fields) = self.fields(field.node, keys::DEFAULTS) else { return Defaults::default() };
        Defaults {
            sections: self.sections(&mut fields),
            rollback_criteria: fields.take("rollbackCriteria").and_then(|field| self.criteria(field)),
        }
    }
}

struct Definition {
    name: crate::runbook::source::Text,
    node: Node,
}

//! Overlays: values for one environment.

use super::Reader;
use crate::runbook::keys;
use crate::runbook::model::Overlay;
use crate::runbook::yaml::Node;

impl Reader<'_> {
    pub(super) fn overlay(&mut self, root: Node) -> Option<Overlay> {
        let mut fields = self.document(root, keys::OVERLAY)?;
        Some(Overlay {
            file: self.file,
            span: fields.span,
            inputs: self.inputs(&mut fields),
            settings: self.settings(&mut fields),
            steps: self.step_definitions(&mut fields, keys::OVERLAY_STEP),
            criteria: self.criterion_definitions(&mut fields, keys::OVERLAY_CRITERION),
        })
    }
}

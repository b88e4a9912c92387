//! Expressions: CEL behind a guard.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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

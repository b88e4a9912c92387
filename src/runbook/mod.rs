//! Files become typed documents, or problems with places.
//!
//! PURE: it is given names and bytes; it never touches files, environment, network or clock, and never
//! prints. Start with [`model`], then [`source`] and [`problem`].

pub mod codes;
pub mod duration;
pub mod expr;
pub mod instant;
pub mod model;
pub mod problem;
pub mod source;
mod syntax;
pub mod template;
pub mod words;
pub mod yaml;

pub use model::{Catalog, Overlay, Runbook, Site};
pub use problem::{Problem, Problems, Severity};
pub use source::{FileId, SourceMap, Span, Spanned, Text};

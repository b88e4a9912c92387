//! Integration tests: one binary, one module per subject.

mod documents;
mod plan;

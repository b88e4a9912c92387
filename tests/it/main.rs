//! Integration tests.

mod machine;
mod support;

//! Integration tests.

mod histories;
mod machine;
mod support;

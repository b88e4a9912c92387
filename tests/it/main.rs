//! Integration tests, in one binary so that they link once. One module per subject.

mod documents;
mod plan;
mod stores;
mod stores_disk;
mod stores_power;
mod tidy;

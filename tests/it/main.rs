//! Integration tests, in one binary so that they link once.

mod stores;
mod stores_disk;
mod stores_power;

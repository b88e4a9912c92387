//! Integration tests, in one binary so that they link once. One module per subject.

mod attempts;
mod cli_audit;
mod cli_dry;
mod cli_run;
mod documents;
mod engine;
mod histories;
mod index_rows;
mod journals;
#[cfg(feature = "lab")]
mod lab_runs;
mod leftovers;
mod machine;
mod notices;
mod plan;
mod report;
mod server;
mod stores;
mod stores_audit;
mod stores_damage;
mod stores_disk;
mod stores_faults;
mod stores_index;
mod stores_journal;
mod stores_power;
mod support;
mod telemetry;
mod tidy;
mod views;

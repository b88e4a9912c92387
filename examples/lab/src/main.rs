//! The lab as a program of its own, for its tests and for a look at it without the engine.

use std::process::ExitCode;

fn main() -> ExitCode {
    bascule_lab::cli(&[], std::env::args().skip(1))
}

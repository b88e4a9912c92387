//! The program: parse, run the verb, return its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    bascule::cli::main()
}

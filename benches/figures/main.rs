//! The project's figures, each beside the limit that was measured in the same run: `cargo bench --bench figures`.
//!
//! Nothing here asserts a time: machines are shared and noisy, so ratios are the result. A word on the command line
//! chooses the figures whose names hold it (`cargo bench --bench figures -- chain`); `--quick` measures each once.
//! `docs/performance.md` says what the figures mean. Start with [`FIGURES`].

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark watches other processes from a thread of its own")]

mod crowd;
mod disk;
mod documents;
mod limits;
mod plans;
mod program;
mod steps;
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use table::{Bench, Line};

/// What one call measures.
type Figure = fn(&Bench) -> Vec<Line>;

/// All of them, by name.
const FIGURES: [(&str, Figure); 10] = [
    ("chain", steps::chain),
    ("fan", steps::fan),
    ("many", steps::many),
    ("spawns", steps::spawns),
    ("processor", steps::processor),
    ("compile", documents::compile_time),
    ("cold", program::cold_start),
    ("kill", program::back_after_kill),
    ("memory", program::memory),
    ("open", crowd::figures),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, state] = words.as_slice()
        && flag == crowd::CHILD
    {
        return crowd::resume(Path::new(state));
    }
    let is_quick = words.iter().any(|word| word == "--quick");
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let folder = tempfile::tempdir_in(beside()).expect("a folder on the disk that is measured");
    let bench = Bench::new(folder.path(), is_quick);
    let started = Instant::now();
    println!(
        "F {:.0?} (fdatasync of a 200-byte append), S {:.0?} (spawn of /bin/true), load {}\n",
        limits::f(bench.folder()),
        limits::s(),
        limits::load()
    );
    for (name, figure) in FIGURES {
        if is_wanted(name) {
            figure(&bench).iter().for_each(Line::print);
        }
    }
    println!(
        "\nF {:.0?}, load {} at the end; {:.0?} in all",
        limits::f(bench.folder()),
        limits::load(),
        started.elapsed()
    );
}

/// Beside the program: where it was built there is room, and a disk.
fn beside() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    program.parent().expect("a program lies in a folder").to_owned()
}

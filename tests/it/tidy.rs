//! Rules of the house that a compiler does not hold: sizes, layers, module docs, forgotten files.

use std::path::{Path, PathBuf};

/// Nobody reads a file of more lines.
const LONGEST_FILE: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn all() -> Vec<PathBuf> {
    ["src", "plugins", "examples", "tests", "benches"].iter().flat_map(|below| sources(below)).collect()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a source file is UTF-8")
}

fn refuse(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn files_stay_short_enough_to_read() {
    let long: Vec<String> = all()
        .iter()
        .map(|path| (name(path), text(path).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    refuse("files over 500 lines", &long);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> =
        all().iter().filter(|path| !text(path).starts_with("//!")).map(|path| name(path)).collect();
    refuse("modules without `//!` in their first line", &silent);
}

/// Module → what it may use of ours. ARCHITECTURE.md has the same list in words.
const LAYERS: [(&str, &[&str]); 11] = [
    ("runbook", &[]),
    ("plan", &["runbook"]),
    ("machine", &["plan", "runbook"]),
    ("store", &["machine", "plan"]),
    ("view", &["machine", "plan"]),
    ("telemetry", &["machine", "plan"]),
    ("engine", &["machine", "plan", "runbook", "store", "telemetry"]),
    ("server", &["engine", "machine", "plan", "report", "runbook", "store", "view"]),
    ("report", &["machine", "plan", "store", "view"]),
    ("outlets", &["engine", "machine", "report", "store", "view"]),
    ("cli", &["engine", "machine", "outlets", "plan", "report", "runbook", "server", "store", "telemetry", "view"]),
];

/// The names of our modules that a text uses.
fn uses(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .flat_map(|line| line.match_indices("crate::").map(move |(at, word)| &line[at + word.len()..]))
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

#[test]
fn nothing_points_back_through_the_layers() {
    let mut wrong = Vec::new();
    for (module, allowed) in LAYERS {
        let mut files = Vec::new();
        if root().join("src").join(module).is_dir() {
            files.extend(sources(&format!("src/{module}")));
        }
        let file = root().join("src").join(format!("{module}.rs"));
        if file.exists() {
            files.push(file);
        }
        for path in files {
            for used in uses(&text(&path)) {
                let ours = LAYERS.iter().any(|(other, _)| *other == used);
                if ours && used != module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}: `{module}` uses `{used}`", name(&path)));
                }
            }
        }
    }
    refuse("imports against the layers", &wrong);
}

/// What the pure modules never see.
const IMPURE: [&str; 12] = [
    "tokio",
    "sled::",
    "axum",
    "clap::",
    "tracing::",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::io",
    "SystemTime",
    "Instant::now",
];

#[test]
fn the_pure_modules_touch_nothing() {
    let mut wrong = Vec::new();
    for module in ["runbook", "plan", "machine"] {
        for path in sources(&format!("src/{module}")) {
            if name(&path).contains("tests") {
                continue;
            }
            for (number, line) in text(&path).lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                let tests_begin = code.contains("#[cfg(test)]");
                if tests_begin {
                    break;
                }
                for word in IMPURE {
                    if code.contains(word) {
                        wrong.push(format!("{}:{}: {word}", name(&path), number + 1));
                    }
                }
            }
        }
    }
    refuse("effects in a pure module", &wrong);
}

#[test]
fn executors_are_touched_by_the_engine_alone() {
    let calls = [".execute(&", ".undo(&", ".validate(&", ".probe(&"];
    let touching: Vec<String> = sources("src")
        .iter()
        .filter(|path| {
            // However a call is broken into lines.
            let dense: String = text(path).split_whitespace().collect();
            calls.iter().any(|call| dense.contains(call))
        })
        .map(|path| name(path))
        .collect();
    // Attempts; looks, which change nothing; checks before a run.
    assert_eq!(touching, ["src/engine/attempt.rs", "src/engine/check.rs", "src/engine/look.rs"]);
}

#[test]
fn the_contract_sees_nothing_of_ours() {
    let wrong: Vec<String> = sources("plugins/contract")
        .iter()
        .filter(|path| text(path).contains("bascule::") || text(path).contains("bascule_builtin"))
        .map(|path| name(path))
        .collect();
    refuse("the contract uses the engine or an executor", &wrong);
}

#[test]
fn no_test_file_is_forgotten() {
    let main = text(&root().join("tests/it/main.rs"));
    let forgotten: Vec<String> = std::fs::read_dir(root().join("tests/it"))
        .expect("the folder of the tests")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("main.rs"))
        .filter_map(|path| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned))
        .filter(|module| !main.contains(&format!("mod {module};")))
        .collect();
    refuse("test files that tests/it/main.rs does not name", &forgotten);
}

#[test]
fn every_page_of_the_documentation_that_is_named_exists() {
    let mut missing = Vec::new();
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let path = root().join(page);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.is_empty() {
            missing.push(format!("{page} is missing or empty"));
        }
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or("");
            if !target.is_empty() && !target.contains("://") && !root().join(target).exists() {
                missing.push(format!("{page} names {target}"));
            }
        }
    }
    refuse("pages that do not exist", &missing);
}

//! The verbs that touch nothing, through the real program, as a session reads.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A folder with the documents of these tests and of the repository.
struct Desk(tempfile::TempDir);

/// What a call came to.
struct Seen {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a temporary folder"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (from, to) in [
            ("runbooks/customer-analytics-api.yaml", "customer-analytics-api.yaml"),
            ("runbooks/demo-overlay.yaml", "demo-overlay.yaml"),
            ("tests/it/cli_dry/night.yaml", "night.yaml"),
            ("tests/it/cli_dry/broken.yaml", "broken.yaml"),
            ("tests/it/cli_dry/lonely.yaml", "lonely.yaml"),
            ("tests/it/cli_dry/looks.yaml", "looks.yaml"),
        ] {
            std::fs::copy(root.join(from), desk.0.path().join(to)).expect("a document of the repository");
        }
        desk
    }

    fn run(&self, args: &[&str]) -> Seen {
        self.run_with(args, "")
    }

    fn run_with(&self, args: &[&str], stdin: &str) -> Seen {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bascule"))
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // A program that does not read its input may be gone already.
        drop(pipe.write_all(stdin.as_bytes()));
        drop(pipe);
        let output = child.wait_with_output().expect("the program ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
        let seen = Seen { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!seen.out.contains('\u{1b}') && !seen.err.contains('\u{1b}'), "colours in a pipe");
        seen
    }

    /// A call and all that it says, as a session.
    fn session(&self, args: &[&str]) -> String {
        self.run(args).session(args)
    }
}

impl Seen {
    fn session(&self, args: &[&str]) -> String {
        let mut text = format!("$ bascule {}\n{}", args.join(" "), self.out);
        if !self.err.is_empty() {
            text.push_str(&format!("--- says\n{}", self.err));
        }
        text.push_str(&format!("--- exit {}\n", self.code.map_or("by a signal".to_owned(), |code| code.to_string())));
        without_hashes(&text)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("JSON on standard output")
    }
}

/// Hashes change with every word of a shipped catalog.
fn without_hashes(text: &str) -> String {
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(' ')
        .map(|word| {
            let (first, rest) = word.split_once('\n').map_or((word, None), |(first, rest)| (first, Some(rest)));
            match (is_hash(first), rest) {
                (true, Some(rest)) => format!("<sha256>\n{rest}"),
                (true, None) => "<sha256>".to_owned(),
                (false, _) => word.to_owned(),
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn wide_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.chars().count() > 80).collect()
}

#[test]
fn the_founding_runbook_alone_lints_clean() {
    insta::assert_snapshot!(Desk::new().session(&["lint", "customer-analytics-api.yaml"]));
}

#[test]
fn lint_shows_all_problems_of_all_files() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.session(&["lint", "broken.yaml", "lonely.yaml", ".", "gone.yaml"]));
    let data = desk.run(&["lint", "broken.yaml", "lonely.yaml", ".", "gone.yaml", "--json"]);
    assert_eq!(data.code, Some(9));
    assert_eq!(data.err, "");
    let codes: Vec<Value> = data.json()["problems"]
        .as_array()
        .expect("a list of problems")
        .iter()
        .map(|problem| problem["code"].clone())
        .collect();
    insta::assert_snapshot!(serde_json::to_string(&codes).expect("JSON"));
}

#[test]
fn an_overlay_is_read_once_for_all_runbooks() {
    let desk = Desk::new();
    std::fs::write(desk.0.path().join("bad.yaml"), "kind: Overlay\nrollbackWindo: 3m\n").expect("a file");
    let seen = desk.run(&["lint", "night.yaml", "looks.yaml", "-f", "bad.yaml"]);
    assert_eq!(seen.code, Some(9));
    assert_eq!(seen.err.matches("rollbackWindo:").count(), 1, "{}", seen.err);
}

#[test]
fn warnings_are_errors_only_where_wanted() {
    let desk = Desk::new();
    // A way back that is estimated longer than the window is worth a warning, and is not wrong.
    let doubtful = ["lint", "customer-analytics-api.yaml", "--set", "rollbackWindow=1s"];
    assert_eq!(desk.run(&doubtful).code, Some(0));
    assert_eq!(desk.run(&[&doubtful[..], &["--strict"]].concat()).code, Some(9));
    assert_eq!(desk.run(&["lint", "customer-analytics-api.yaml", "--strict"]).code, Some(0));
    assert_eq!(desk.run(&["lint", "demo-overlay.yaml", "--strict"]).code, Some(0));
}

#[test]
fn a_document_comes_from_standard_input() {
    let desk = Desk::new();
    let text = std::fs::read_to_string(desk.0.path().join("night.yaml")).expect("a document");
    let piped = desk.run_with(&["plan", "-", "--json"], &text).json();
    let named = desk.run(&["plan", "night.yaml", "--json"]).json();
    assert_eq!(piped["hash"], named["hash"], "the same document makes the same plan");
    let problem = desk.run_with(&["lint", "-"], "application: [");
    assert!(problem.err.contains("<stdin>"), "{}", problem.err);
    insta::assert_snapshot!(desk.session(&["plan", "-", "-f", "-"]));
}

#[test]
fn a_plan_that_lacks_inputs_is_drawn_and_marked() {
    let desk = Desk::new();
    let session = desk.session(&["plan", "customer-analytics-api.yaml"]);
    insta::assert_snapshot!(session);
    let seen = desk.run(&["plan", "customer-analytics-api.yaml"]);
    assert_eq!(wide_lines(&seen.out), Vec::<&str>::new(), "wider than 80 columns");
}

#[test]
fn a_plan_shows_what_a_night_may_bring() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.session(&["plan", "night.yaml"]));
    let seen = desk.run(&["plan", "night.yaml"]);
    assert_eq!(wide_lines(&seen.out), Vec::<&str>::new(), "wider than 80 columns");
}

#[test]
fn a_plan_as_data_says_what_the_table_says() {
    let desk = Desk::new();
    let plan = desk.run(&["plan", "customer-analytics-api.yaml", "--catalog", "lab", "--json"]);
    assert_eq!(plan.code, Some(8));
    assert_eq!(plan.err, "");
    let plan = plan.json();
    let order = |part: &str| -> Vec<String> {
        let list = plan["rollback"][part].as_array().expect("a list");
        list.iter().filter_map(|undo| undo["step"].as_str()).map(str::to_owned).collect()
    };
    // The order that SEMANTICS §8 gives for the founding runbook after exposure.
    assert_eq!(
        order("restore"),
        ["fence:stop_target_writes", "final_data_sync", "quiesce_application", "update_load_balancer"]
    );
    assert_eq!(order("cleanup"), ["power_on_target", "attach_target_storage_profile", "convert_image"]);
    assert_eq!(plan["phases"][1]["does"], "automatic");
    assert_eq!(plan["window"]["lengthMs"], 90 * 60_000);
    assert!(plan["missing"].as_array().is_some_and(|missing| missing.len() > 5));
    assert_eq!(plan["warnings"][0]["code"], "B0074");
}

#[test]
fn each_value_of_a_step_tells_where_it_comes_from() {
    let desk = Desk::new();
    let with_overlay = ["plan", "customer-analytics-api.yaml", "--catalog", "lab", "-f", "demo-overlay.yaml"];
    let explain = |step| [&with_overlay[..], &["--set", "inputs.vm=a-1", "--explain", step]].concat();
    insta::assert_snapshot!(desk.session(&explain("p95_latency_within_slo")));
    insta::assert_snapshot!(desk.session(&explain("final_data_snyc")));
    let data = desk.run(&[&explain("smoke_test")[..], &["--json"]].concat()).json();
    assert_eq!(data["definition"]["in"], "catalog");
    assert_eq!(data["definition"]["name"], "<shipped>/lab.yaml");
}

#[test]
fn pictures_are_written_where_wanted() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.session(&["graph", "night.yaml"]));
    let written = desk.run(&["graph", "night.yaml", "-o", "plan.svg"]);
    assert_eq!(written.code, Some(0));
    let svg = std::fs::read_to_string(desk.0.path().join("plan.svg")).expect("the picture");
    assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{}", &svg[..40]);
    let dot = desk.run(&["graph", "night.yaml", "--format", "dot"]);
    assert!(dot.out.starts_with("digraph"));
}

#[test]
fn catalogs_are_found_by_file_and_by_name() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.session(&["catalog", "list"]));
    insta::assert_snapshot!(desk.session(&["catalog", "show", "pextra"]));
    let shown = desk.run(&["catalog", "show", "lab"]);
    std::fs::create_dir(desk.0.path().join("catalog")).expect("a folder");
    std::fs::write(desk.0.path().join("catalog/mine.yaml"), &shown.out).expect("a file");
    let named = desk.run(&["plan", "customer-analytics-api.yaml", "--catalog", "catalog/mine.yaml", "--json"]).json();
    assert_eq!(named["catalogs"][0]["name"], "catalog/mine.yaml");
    assert_eq!(desk.run(&["lint", "lonely.yaml"]).code, Some(0), "`catalogs:` is relative to the runbook");
    let gone = desk.run(&["plan", "customer-analytics-api.yaml", "--catalog", "nowhere.yaml"]);
    assert_eq!(gone.code, Some(9));
    assert!(gone.err.contains("B0001"), "{}", gone.err);
}

#[test]
fn a_catalog_beside_the_runbook_needs_no_name() {
    let desk = Desk::new();
    let folder = desk.0.path().join("catalog");
    std::fs::create_dir(&folder).expect("a folder");
    let shown = desk.run(&["catalog", "show", "pextra-cloud"]).out;
    std::fs::write(folder.join("ours.yaml"), shown.replace("estimate: 40m", "estimate: 50m")).expect("a file");
    let plan = desk.run(&["plan", "customer-analytics-api.yaml", "--json"]).json();
    assert_eq!(
        plan["catalogs"][0]["name"], "catalog/ours.yaml",
        "what stands beside the runbook wins over the shipped one"
    );
}

#[test]
fn codes_states_and_exit_codes_are_explained() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.session(&["explain", "stuck"]));
    insta::assert_snapshot!(desk.session(&["explain", "B0099"]));
    assert!(desk.run(&["explain", "b0046"]).out.starts_with("# B0046"));
    assert_eq!(desk.run(&["explain", "exit", "5"]).out, desk.run(&["explain", "5"]).out);
    assert_eq!(desk.run(&["explain", "rollingBack"]).out, desk.run(&["explain", "rolling_back"]).out);
    let all = desk.run(&["explain"]).out;
    assert!(all.contains("B0083") && all.contains("closed_with_residue") && all.contains("exit_8"));
}

#[test]
fn executors_and_schemas_are_shown() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.session(&["executors"]));
    insta::assert_snapshot!(desk.session(&["executors", "http.cal"]));
    assert!(desk.run(&["executors", "http.call"]).out.starts_with("# `http.call`"));
    assert_eq!(desk.run(&["executors", "http.call", "--json"]).json()["params"]["type"], "object");
    let schema: Value = serde_json::from_str(&desk.run(&["schema", "runbook"]).out).expect("a schema");
    assert!(schema["properties"]["cutoverSteps"].is_object());
    insta::assert_snapshot!(desk.session(&["schema", "runbok"]));
}

#[test]
fn a_check_changes_nothing_and_says_what_would_fail() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.session(&["check", "looks.yaml", "-v"]));
    let data = desk.run(&["check", "looks.yaml", "--json"]);
    assert_eq!(data.code, Some(5));
    let lacking = desk.run(&["check", "customer-analytics-api.yaml"]);
    assert_eq!(lacking.code, Some(8), "a plan that lacks inputs cannot be checked");
    assert!(lacking.err.contains("--set inputs."), "{}", lacking.err);
}

#[test]
fn shells_can_complete() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let seen = desk.run(&["completions", shell]);
        assert_eq!(seen.code, Some(0));
        assert!(seen.out.contains("executors"), "{shell}");
    }
}

#[test]
fn warnings_take_a_line_each_where_they_were_seen_before() {
    let desk = Desk::new();
    let graph = desk.run(&["graph", "night.yaml", "-o", "plan.svg"]);
    insta::assert_snapshot!(graph.session(&["graph", "night.yaml", "-o", "plan.svg"]));
    assert_eq!(wide_lines(&graph.err), Vec::<&str>::new(), "wider than 80 columns");
    let as_data = desk.run(&["graph", "night.yaml", "-o", "plan.svg", "--json"]);
    assert_eq!((as_data.json()["file"].as_str(), as_data.err.as_str()), (Some("plan.svg"), ""));
    let full = desk.run(&["plan", "night.yaml"]);
    let told: Vec<&str> = full.err.lines().filter(|line| !line.contains(" | ")).collect();
    assert_eq!(wide_lines(&told.join("\n")), Vec::<&str>::new(), "help and notes break at words");
}

#[test]
fn a_change_window_that_is_over_is_told_and_refused_at_the_start() {
    let desk = Desk::new();
    let over = ["--set", "change.window=2025-11-28T22:00/04:00"];
    let planned = desk.run(&[&["plan", "night.yaml"], &over[..]].concat());
    assert!(planned.err.contains("B0088") && planned.code == Some(0), "{}", planned.err);
    let checked = desk.run(&[&["check", "night.yaml"], &over[..]].concat());
    assert!(checked.err.contains("B0088"), "{}", checked.err);
    let started = desk.run(&[&["run", "night.yaml"], &over[..]].concat());
    assert!(started.err.contains("error[B0088]") && started.code == Some(9), "{}", started.err);
}

#[test]
fn a_site_is_said_to_be_unused() {
    let desk = Desk::new();
    std::fs::write(desk.0.path().join("site.yaml"), "kind: Site\ncapacities: { \"link:dc\": 10 }\n").expect("a file");
    let seen = desk.run(&["lint", "site.yaml", "--strict"]);
    assert!(seen.err.contains("B0087") && seen.code == Some(0), "{}", seen.err);
    let laid = desk.run(&["plan", "night.yaml", "-f", "site.yaml"]);
    assert!(laid.err.contains("is read by `bascule lint` only"), "{}", laid.err);
}

#[test]
fn a_check_that_finds_nothing_wrong_says_how_far_it_looked() {
    let desk = Desk::new();
    let runbook = "application: shop\nrollbackWindow: 30m\ndataOnRollback: stateless\n\
        preChecks:\n  - { id: passes, uses: command, with: { argv: [\"true\"] } }\n\
        cutoverSteps:\n  - { id: stop, uses: command, with: { shell: \"exit 3\" }, takesSourceDown: true, \
        undo: { uses: command, with: { argv: [\"true\"] } } }\n  - { id: switch, uses: command, with: { argv: [\"true\"] }, \
        exposes: true, undo: { uses: command, with: { argv: [\"true\"] } } }\n";
    std::fs::write(desk.0.path().join("fine.yaml"), runbook).expect("a file");
    insta::assert_snapshot!(desk.session(&["check", "fine.yaml"]));
    let data = desk.run(&["check", "fine.yaml", "--json"]).json();
    assert_eq!((data["verified"].as_u64(), data["onlyRead"].as_u64()), (Some(1), Some(4)));
}

#[test]
fn names_and_words_of_people_are_understood() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["catalog", "lab"]).out, desk.run(&["catalog", "show", "lab"]).out);
    assert_eq!(desk.run(&["catalog"]).out, desk.run(&["catalog", "list"]).out);
    assert!(desk.run(&["executors", "curl"]).err.contains("`http.call`"));
    for words in
        [&["way", "back"][..], &["criteria"], &["plan", "hash"], &["window"], &["gate"], &["attempts"], &["lock"]]
    {
        let seen = desk.run(&[&["explain"], words].concat());
        assert_eq!(seen.code, Some(0), "{words:?}: {}", seen.err);
    }
    assert!(desk.run(&["schema", "runbook", "--reference", "--json"]).json()["reference"].is_string());
}

#[test]
fn helps_are_broken_once() {
    let desk = Desk::new();
    let mut text = String::new();
    for verb in ["run", "lint", "graph", "status"] {
        text.push_str(&desk.run(&["help", verb]).out);
    }
    let short = |line: &str, next: &str| {
        let is_prose = |line: &str| !line.is_empty() && !line.starts_with([' ', '-']) && !line.contains(':');
        let first = next.split(' ').next().unwrap_or("");
        is_prose(line) && is_prose(next) && line.chars().count() + 1 + first.chars().count() < 80
    };
    let lines: Vec<&str> = text.lines().collect();
    let broken: Vec<&str> = lines.windows(2).filter(|pair| short(pair[0], pair[1])).map(|pair| pair[0]).collect();
    assert_eq!(broken, Vec::<&str>::new(), "lines that end before they must");
    let usage = desk.run(&["lint"]);
    assert!(usage.err.contains("bascule lint [OPTIONS] <FILE>") || !usage.err.contains("--state"), "{}", usage.err);
}

//! Files that nobody would call a runbook: none of them may hang, overflow a stack or fill the memory.

use std::time::Duration;

use bascule::runbook::render::{self, Colour};
use bascule::runbook::{Documents, Unreadable};
use proptest::prelude::*;

use super::{EVERYTHING, FIXTURE, read, shown, with};

/// The time that this thread has worked: waiting for a busy machine is no work.
fn worked() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(spent.tv_sec), u32::try_from(spent.tv_nsec));
    Duration::new(seconds.expect("time passes"), nanos.expect("a part of a second"))
}

/// What is said about it, and that it is said at all: a minute of work is a limit that only a quadratic mistake meets,
/// even in a debug build.
fn soon(bytes: &[u8]) -> String {
    let start = worked();
    let text = shown(bytes);
    let took = worked() - start;
    assert!(took < Duration::from_secs(60), "it took {took:?}");
    text
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, below) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        let line = vec![format!("*{below}"); 9].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{line}]\n"));
    }
    insta::assert_snapshot!(soon(bomb.as_bytes()));
}

#[test]
fn deep_nesting_is_refused() {
    insta::assert_snapshot!(soon(format!("a: {}", "[".repeat(5000)).as_bytes()));
    insta::assert_snapshot!(soon(format!("a: {}{}", "[".repeat(5000), "]".repeat(5000)).as_bytes()));
    let braces = "{a: ".repeat(5000);
    assert!(soon(braces.as_bytes()).contains("B0006"));
    let indented: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(soon(indented.as_bytes()).contains("B0006"));
    assert!(soon("- ".repeat(5000).as_bytes()).contains("B0006"));
    let nested = format!("a: {}1{}", "[".repeat(60), "]".repeat(60));
    assert!(!soon(nested.as_bytes()).contains("B0006"));
}

#[test]
fn large_files_are_refused_before_they_are_parsed() {
    let mut large = with("cutoverSteps:\n").into_bytes();
    large.resize(bascule::runbook::MAX_BYTES + 1, b'#');
    insta::assert_snapshot!(soon(&large));
}

#[test]
fn one_very_long_line_is_cut_around_its_mistake() {
    let long = "x".repeat(3 << 20);
    insta::assert_snapshot!(
        soon(format!("application: billing\nrollbackWindow: {long}\ncutoverSteps: [a]\n").as_bytes())
            .replace(&long, "<long>")
    );
    let middle =
        format!("{{application: billing, description: {long}, wave: [1], cutoverSteps: [a], rollbackWindow: 3}}");
    insta::assert_snapshot!(soon(middle.as_bytes()));
}

#[test]
fn ten_thousand_mistakes_are_counted_not_listed() {
    let many: String = (0..10_000).map(|index| format!("key{index}: 1\n")).collect();
    let text = soon(with(&format!("cutoverSteps: [a]\n{many}")).as_bytes());
    assert!(
        text.ends_with("200 errors, 9800 more not shown; `bascule explain B0013` says more\n"),
        "{}",
        &text[text.len() - 200..]
    );
}

#[test]
fn files_that_are_no_utf8_say_which_byte() {
    insta::assert_snapshot!(shown(b"application: billing\ncontacts: { owner: \"Ren\xe9\" }\n"));
    insta::assert_snapshot!(shown(b"\xff\xfea\0p\0p\0"));
    insta::assert_snapshot!(shown(b"\xfe\xff\0a\0p"));
    insta::assert_snapshot!(shown(b"\x89PNG\r\n\x1a\n"));
}

#[test]
fn files_that_cannot_be_read_have_a_code_too() {
    let mut documents = Documents::new();
    for (name, why) in [
        ("runbooks", Unreadable::Directory),
        ("missing.yaml", Unreadable::Missing),
        ("secret.yaml", Unreadable::Denied),
        ("huge.yaml", Unreadable::TooLarge(Some(20 << 20))),
        ("odd.yaml", Unreadable::Other("input/output error".into())),
    ] {
        let file = documents.unreadable(name, &why);
        assert!(documents.runbook(file).is_none());
    }
    let (sources, problems) = documents.finish();
    insta::assert_snapshot!(render::report(&problems, &sources, Colour::Plain));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = shown("application: \"\\e[31mred\"\nrollbackWindow: 1m\ncutoverSteps: [a]\n\"\\e[2Jkey\": 1\n");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn columns_are_right_behind_marks_tabs_and_wide_characters() {
    let (_, sources, problems) =
        read("\u{feff}application: b\r\nrollbackWindow: 3m\r\ncutoverSteps: [a]\r\nwavee: 2\r\n".as_bytes());
    insta::assert_snapshot!(render::report(&problems, &sources, Colour::Plain));
    let data = render::to_json(&problems, &sources);
    insta::assert_snapshot!(serde_json::to_string_pretty(&data).expect("JSON"));
    insta::assert_snapshot!(shown(with(
        "contacts: {owner: 日本語, bridge: \"👩‍🚀\"}\ncutoverSteps: [ä, 名前, \"a\"\t, b b]\n"
    )));
}

#[test]
fn several_files_are_shown_together() {
    let mut documents = Documents::new();
    let runbook = documents.add("billing.yaml", with("cutoverSteps: [a]\nwav: 2\n").as_bytes());
    let catalog =
        documents.add("catalog/lab.yaml", b"kind: Catalog\nfor: {}\nsteps: {a: {uses: command, effcet: none}}\n");
    let overlay = documents.add("lab.yaml", b"kind: Overlay\ncutoverSteps: []\nsteps: {a: {timeout: 5}}\n");
    let site = documents
        .add("site.yaml", b"kind: Site\ncapacities: {'datastore:a': lots}\npeople: [{name: ada, role: dba}]\n");
    assert!(documents.runbook(runbook).is_some());
    assert!(documents.catalog(catalog).is_some());
    assert!(documents.overlay(overlay).is_some());
    assert!(documents.site(site).is_some());
    assert!(documents.set("steps.a.timeout=5").is_some());
    let (sources, problems) = documents.finish();
    insta::assert_snapshot!(render::report(&problems, &sources, Colour::Plain));
}

/// Every document kind, so that no reader is forgotten.
fn read_as_everything(bytes: &[u8]) {
    let mut documents = Documents::new();
    let file = documents.add("x.yaml", bytes);
    drop(documents.runbook(file));
    drop(documents.catalog(file));
    drop(documents.overlay(file));
    drop(documents.site(file));
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(documents.set(text));
    }
    let (sources, problems) = documents.finish();
    drop(render::report(&problems, &sources, Colour::Terminal));
    drop(render::to_json(&problems, &sources));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[a-c:\\-\\[\\]{}&*!|>'\"#\\n ${}.=?,%@`~0-9\\t]{0,200}") {
        read_as_everything(text.as_bytes());
    }

    #[test]
    fn mutated_documents_never_panic(
        everything in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut bytes = if everything { EVERYTHING } else { FIXTURE }.as_bytes().to_vec();
        for (place, byte, kind) in changes {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        read_as_everything(&bytes);
    }

    #[test]
    fn arbitrary_expressions_never_panic(text in "[a-z0-9 .()\\[\\]{}!&|<>=+*/%?:,'\"\\\\-]{0,120}") {
        if let Ok(compiled) = bascule::runbook::expr::compile(&text) {
            drop(bascule::runbook::expr::decide(&compiled, &bascule::runbook::expr::Scope::new()));
        }
        drop(bascule::runbook::expr::references(&text));
    }
}

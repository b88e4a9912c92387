//! What expressions mean, as tables of expression and answer.

use serde_json::{Value, json};

use super::*;

fn scope() -> Scope {
    Scope::new()
        .with("inputs", json!({ "vm": "analytics-01", "convert": true, "port": 5432, "ratio": 0.5, "big": 9007199254740993_i64, "nothing": null }))
        .with("result", json!({ "p95": 120, "status": 200, "text": "200", "none": null, "list": [1, 2.0, "x"], "hosts": [{ "name": "a", "up": true }, { "name": "b", "up": false }] }))
        .with("baseline", json!({ "p95": 100.0 }))
        .with("steps", json!({ "convert": { "outputs": { "path": "/var/x.qcow2", "size": 3 } }, "a-b": { "outputs": {} } }))
}

fn answer(text: &str) -> String {
    match compile(text) {
        Err(error) => format!("error at {:?}: {}", error.at, error.message),
        Ok(compiled) => match evaluate(&compiled, &scope()) {
            Ok(value) => value.to_string(),
            Err(unknown) => format!("unknown: {}", unknown.reason),
        },
    }
}

fn table(rows: &[&str]) -> String {
    rows.iter().map(|text| format!("{text}  =>  {}", answer(text))).collect::<Vec<_>>().join("\n")
}

#[test]
fn numbers_are_one_kind() {
    insta::assert_snapshot!(table(&[
        "1 == 1.0",
        "result.p95 > baseline.p95 * 1.3",
        "result.p95 > baseline.p95 * 1.1",
        "result.p95 * 2 + 1",
        "3 / 100",
        "6 / 3",
        "7 % 4",
        "7.5 % 2",
        "-result.p95",
        "inputs.big",
        "inputs.big + 1",
        "9223372036854775807 + 1",
        "18446744073709551615 + 1",
        "1e308 * 10",
        "1 / 0",
        "1 % 0",
        "250 * 1.3",
        "1u + 2",
        "min(3, 1.5)",
        "max([1, 5, 2.5])",
        "abs(-3)",
        "int(\"12\") + int(3.9)",
        "double(2)",
        "int(\"x\")",
    ]));
}

#[test]
fn what_is_not_known_is_never_true_or_false() {
    insta::assert_snapshot!(table(&[
        "result.missing > 1",
        "result.missing != 1",
        "result.none < 1",
        "result.none != 200",
        "result.none == result.none",
        "result.text != 200",
        "result.p95 > \"abc\"",
        "!result.missing",
        "result.missing.deeper == 1",
        "result.none.deeper == 1",
        "result.list[7] == 1",
        "result.list[-1] == 1",
        "result.text.deeper",
        "inputs.vm && true",
        "run.id == \"x\"",
        "result.missing ? 1 : 2",
        "size(result.none)",
        "\"a\" + 1",
        "{1: 2}",
    ]));
}

#[test]
fn the_side_that_settles_wins() {
    insta::assert_snapshot!(table(&[
        "result.missing > 1 || true",
        "true || result.missing > 1",
        "result.missing > 1 && false",
        "result.missing > 1 && true",
        "result.missing > 1 || false",
        "result.hosts.exists(h, h.gone)",
        "result.hosts.exists(h, h.name == \"b\")",
        "[0, 1, 2].exists(x, 4 / x == 4)",
        "[0, 1, 2].all(x, 4 / x == 3)",
        "[0, 1, 2].all(x, 4 / x >= 2)",
    ]));
}

#[test]
fn null_and_absence_can_be_asked_for() {
    insta::assert_snapshot!(table(&[
        "result.none == null",
        "result.none != null",
        "result.p95 == null",
        "null == null",
        "result.missing == null",
        "has(result.p95)",
        "has(result.none)",
        "has(result.missing)",
        "has(result.missing.deeper)",
        "has(steps.gone.outputs.path)",
        "has(run.id)",
        "has(result.text.deeper)",
        "has(result.missing) && result.missing > 1",
        "\"p95\" in result",
        "\"x\" in result.list",
        "2 in result.list",
        "3 in result.list",
    ]));
}

#[test]
fn lists_maps_and_text() {
    insta::assert_snapshot!(table(&[
        "result.hosts.filter(h, h.up).map(h, h.name)",
        "result.hosts.map(h, h.up, h.name)",
        "result.hosts.exists_one(h, h.up)",
        "result.hosts.all(h, h.name.matches(\"^[ab]$\"))",
        "size(result.hosts) == 2 && result.hosts[1].name == \"b\"",
        "steps[\"a-b\"].outputs",
        "steps.convert.outputs.path.endsWith(\".qcow2\")",
        "inputs.vm.split(\"-\").join(\"_\").upperAscii()",
        "\" x \".trim() + string(1.0) + string(true)",
        "[1, 2.0] == [1.0, 2]",
        "{\"a\": [1]} == {\"a\": [1.0]}",
        "[1] == [\"1\"]",
        "inputs.convert ? \"yes\" : \"no\"",
        "'it' + \"'s\"",
        "r\"\\d\"",
        "inputs.vm.size()",
    ]));
}

#[test]
fn errors_have_a_place() {
    insta::assert_snapshot!(table(&[
        "",
        "result.p95 >",
        "result.p95 > > 3",
        "result.p95 3",
        "(result.p95 > 3",
        "result.p95 > 3)",
        "result[1}",
        "result.p95 = 3",
        "result.p95 & 3",
        "\"open",
        "resutl.p95 > 3",
        "p95 > 3",
        "1 + foo.bar",
        "inputs.vm.startWith(\"x\")",
        "size()",
        "trim(inputs.vm)",
        "inputs.vm.string()",
        "inputs.vm.matches(\"(\")",
        "b\"bytes\"",
        "Msg{a: 1}",
        "result.p95 > 3 ? 1",
        "result.",
        "a.b.",
        "result.?p95",
        "1 ++ 2",
        "ünder > 1",
        "inputs.x == “y”",
        "\"\\q\"",
        "secrets.token",
    ]));
}

#[test]
fn large_expressions_are_refused_before_they_are_parsed() {
    let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
    let chain = vec!["1"; 400].join("+");
    let long = format!("\"{}\"", "x".repeat(2000));
    let nots = format!("{}true", "!".repeat(900));
    let dots = format!("inputs{}", ".a".repeat(400));
    let ternary = format!("{}1", "true?1:".repeat(140));
    for text in [deep, chain, long, nots, dots, ternary] {
        let error = compile(&text).expect_err("too large");
        assert_eq!(error.kind, ExprErrorKind::TooLarge, "{error:?}");
    }
}

#[test]
fn the_largest_expressions_fit_a_small_stack() {
    let wrap = |open: &str, close: &str| format!("{}1{}", open.repeat(MAX_NESTING), close.repeat(MAX_NESTING));
    let chain = |with: &str| vec!["1"; MAX_OPERATORS + 1].join(with);
    let texts = [
        wrap("(", ")"),
        wrap("[", "]"),
        wrap("-(", ")"),
        wrap("max(1,", ")"),
        chain("+"),
        chain("=="),
        format!("{}true", "!".repeat(MAX_OPERATORS)),
        format!("inputs{}", ".a".repeat(MAX_OPERATORS)),
        format!("{}1", "true?1:".repeat(MAX_OPERATORS / 2)),
        vec!["true"; 60].join("&&"),
    ];
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        for text in texts {
            let compiled = compile(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            drop(evaluate(&compiled, &scope()));
        }
    });
    small.expect("a thread").join().expect("no overflow");
}

#[test]
fn evaluation_ends() {
    let numbers: Vec<u32> = (0..1000).collect();
    let scope = Scope::new().with("inputs", json!({ "n": numbers }));
    let cubic = compile("inputs.n.all(a, inputs.n.all(b, inputs.n.all(c, a + b + c >= 0)))").expect("valid");
    let Truth::Unknown(reason) = decide(&cubic, &scope) else { panic!("it must give up") };
    assert_eq!(reason, "the expression takes too long");
    let linear = compile("inputs.n.filter(a, a % 2 == 0).map(a, a * 2).size() == 500").expect("valid");
    assert_eq!(decide(&linear, &scope), Truth::True);
}

#[test]
fn a_condition_that_is_no_boolean_is_unknown() {
    let compiled = compile("inputs.vm").expect("valid");
    assert_eq!(decide(&compiled, &scope()), Truth::Unknown("`inputs.vm` is text, not true or false".into()));
}

#[test]
fn references_say_where_they_stand() {
    let text = "has(steps.convert.outputs.path) && steps[\"a-b\"].outputs.x.size() > inputs.list.map(i, i.y)[0] && result[inputs.k]";
    let seen: Vec<String> = references(text)
        .iter()
        .map(|path| {
            let names: Vec<&str> = path.segments.iter().map(|segment| segment.name.as_str()).collect();
            format!("{} {names:?} {:?} guarded={}", path.root, &text[path.at.clone()], path.guarded)
        })
        .collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn both_parsers_of_the_library_agree() {
    let ids = regex::Regex::new(r"id: \d+").expect("valid");
    for text in [
        "1 + 2 * 3 - 4",
        "a && b || c && !d",
        "x.y[0].z(1, 'two')",
        "a ? b : c ? d : e",
        "has(a.b) && a.b.c > 1e3",
        "[1, 2.5, \"x\", true, null]",
        "{\"a\": 1, \"b\": [2]}",
        "l.filter(x, x in [1, 2]).map(x, x * 2)",
        "-1 - -2",
        "1 < 2 == true",
    ] {
        let mut quick = cel::parser::PrattParser::new().parse(text).expect("valid");
        let mut thorough = cel::parser::Parser::new().parse(text).expect("valid");
        let plain = |parsed: &mut cel::parser::Expression| {
            let debug = format!("{parsed:?}");
            ids.replace_all(&debug, "id").into_owned()
        };
        assert_eq!(plain(&mut quick), plain(&mut thorough), "{text}");
    }
}

#[test]
fn truth_of_values() {
    for (text, truth) in [("true", Truth::True), ("1 > 2", Truth::False)] {
        assert_eq!(decide(&compile(text).expect("valid"), &Scope::new()), truth);
    }
    assert_eq!(evaluate(&compile("[1, null]").expect("valid"), &Scope::new()), Ok(json!([1, Value::Null])));
}

#[test]
fn keys_may_be_words_that_the_grammar_reserves() {
    let scope = Scope::new().with("inputs", json!({ "namespace": "prod", "package": 1, "in": 2, "for": 3, "a-b": 4 }));
    let table: Vec<String> = [
        "inputs.namespace == \"prod\"",
        "inputs.package",
        "inputs.in",
        "inputs.for",
        "inputs[\"a-b\"]",
        "inputs.a-b",
        "steps.smoke-test-2.outputs.x == 1",
        "1 -b",
    ]
    .into_iter()
    .map(|text| match compile(text) {
        Ok(compiled) => format!("{text}  =>  {:?}", evaluate(&compiled, &scope)),
        Err(error) => format!("{text}  =>  error at {:?}: {} {:?}", error.at, error.message, error.help),
    })
    .collect();
    insta::assert_snapshot!(table.join("\n"));
}

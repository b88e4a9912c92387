//! Processes and promises: nothing twice, nothing lost, nothing left behind.

use std::io::Write;

use bascule_lab::{EntryKind, Lab, LabOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, VM, launch, quiet, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_does_it_once_however_often_and_together_it_is_asked() {
    let rig = Rig::start().await;
    rig.must("sourceApi", "quiesce", Value::Null).await;
    rig.must("targetApi", "sync", rig.final_sync()).await;
    rig.must("targetApi", "convert", Value::Null).await;
    rig.must("targetApi", "attach", json!({ "profile": "gold-replicated" })).await;
    let ask = async || rig.ask("targetApi", "power-on", Value::Null, Some("k")).await;
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    assert_eq!(a.0, 200);
    assert!(a == b && b == c && c == d, "all get the same answer");
    assert_eq!(rig.ledger("power_on"), [(EntryKind::Effect, Some("k".to_owned()))]);
    rig.ask("targetApi", "power-on", Value::Null, Some("other")).await;
    assert_eq!(rig.ledger("power_on")[1], (EntryKind::Noop, Some("other".to_owned())));
    let (status, answer) = rig.ask("targetApi", "power-off", Value::Null, Some("k")).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("key_reused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_dies_in_the_middle_finds_it_done_once() {
    let rig = Rig::start().await;
    rig.must("sourceApi", "quiesce", Value::Null).await;
    let address = &rig.lab.site.addresses["targetApi"];
    let body = rig.final_sync().to_string();
    for _ in 0..5 {
        let mut wire = std::net::TcpStream::connect(address).expect("a connection");
        write!(
            wire,
            "POST /vms/{VM}/sync HTTP/1.1\r\nhost: lab\r\nidempotency-key: k\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("a request");
        // Gone before any answer, as a killed engine is.
        drop(wire);
    }
    let (status, answer) = rig.ask("targetApi", "sync", rig.final_sync(), Some("k")).await;
    assert_eq!((status, &answer["records"]), (200, &json!(20)));
    assert_eq!(rig.ledger("sync"), [(EntryKind::Effect, Some("k".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_says_who_did_what() {
    let rig = Rig::start().await;
    rig.ask("sourceApi", "quiesce", Value::Null, Some("run/1/quiesce/forward/0")).await;
    let entry = rig.lab.ledger().expect("a ledger").into_iter().find(|one| one.action == "quiesce").expect("a line");
    assert_eq!((entry.platform.as_str(), entry.vm.as_str(), entry.pid), ("source", VM, rig.lab.site.pid));
    assert_eq!(entry.key.as_deref(), Some("run/1/quiesce/forward/0"));
    assert_eq!(entry.attempt.as_deref(), Some("test/run/1/quiesce/forward/0/1"));
    let numbers: Vec<u64> = rig.lab.ledger().expect("a ledger").iter().map(|one| one.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_leads_a_session_of_its_own_and_machines_die_with_it() {
    let mut rig = Rig::start().await;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", rig.lab.site.pid)).expect("its state");
    let session = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3)).expect("a session");
    assert_eq!(session, rig.lab.site.pid.to_string());
    let machine = rig.vm("sourceApi").await["pid"].as_u64().expect("a process");
    rig.lab.start_users(1, 5).await.expect("users");
    // Waits for the lock that the machine has on its disk, not for a time.
    rig.kill().await;
    until("the machine is gone", async || !std::path::Path::new(&format!("/proc/{machine}/root")).exists()).await;
    assert!(Lab::connect(rig.dir()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_was_killed_comes_back_as_it_was_at_the_same_addresses() {
    let mut rig = Rig::start().await;
    assert_eq!(rig.order("promised").await.0, 201);
    rig.ask("sourceApi", "quiesce", Value::Null, Some("q")).await;
    rig.weights(100, 50, Some("w")).await;
    let before = rig.lab.site.addresses.clone();
    rig.kill().await;
    rig.start_again().await;
    assert_eq!(rig.lab.site.addresses, before);
    assert_eq!(rig.get("lb", "/weights").await.1, json!({ "source": 100, "target": 50 }));
    let machine = rig.vm("sourceApi").await;
    assert_eq!((&machine["power"], &machine["status"]), (&json!("on"), &json!("quiesced")));
    let (_, again) = rig.ask("sourceApi", "quiesce", Value::Null, Some("q")).await;
    assert_eq!(again["changed"], true, "the answer of the first life");
    assert_eq!(rig.ledger("quiesce").len(), 1);
    rig.weights(100, 0, None).await;
    assert_eq!(rig.get("vip", "/orders/promised").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_dies_is_off_and_the_ledger_knows() {
    let rig = Rig::start().await;
    let pid = rig.vm("sourceApi").await["pid"].as_i64().expect("a process");
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it was there");
    until("the platform notices", async || rig.vm("sourceApi").await["power"] == "off").await;
    until("the ledger knows", async || rig.ledger("vm_died") == [(EntryKind::Background, None)]).await;
    let (status, answer) = rig.order("a").await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("backend_down")));
    rig.must("sourceApi", "power-on", Value::Null).await;
    assert_eq!(rig.order("a").await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_every_process_and_a_folder_has_one_lab() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lab = launch(folder.path(), &quiet()).await;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_bascule-lab"));
    let second = Lab::start(program, &[], folder.path(), &LabOptions::default()).await.expect_err("one is enough");
    assert!(second.to_string().contains("another lab serves"), "{second}");
    let found = Lab::connect(folder.path()).await.expect("the first one");
    assert_eq!(found.site, lab.site);
    let disk = bascule_lab::disk_of(folder.path(), bascule_lab::Side::Source, VM);
    lab.stop().await.expect("a stop");
    let disk = std::fs::OpenOptions::new().write(true).open(disk).expect("the disk");
    disk.try_lock().expect("no machine holds it");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_answered_in_one_shape() {
    let rig = Rig::start().await;
    let url = rig.lab.url("sourceApi");
    for (method, path, body, status, code) in [
        (Method::GET, "/nothing", Value::Null, 404, "no_such_route"),
        (Method::GET, "/vms/nobody", Value::Null, 404, "no_such_vm"),
        (Method::POST, "/vms/analytics-01/attach", json!({ "profil": "x" }), 400, "bad_body"),
        (Method::GET, "/vms/analytics-01/disk?form=3", Value::Null, 400, "bad_query"),
    ] {
        let (found, answer) = rig.call(method, &format!("{url}{path}"), body, None).await;
        assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{answer}");
        assert!(answer["error"]["message"].is_string() && answer["error"]["hint"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_work_from_a_terminal() {
    let rig = Rig::start().await;
    let run = async |words: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bascule-lab"));
        let output = command.args(words).output().await.expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let dir = rig.dir().to_str().expect("a path");
    let (code, shown, _) = run(&["show", "--dir", dir]).await;
    assert!(code == Some(0) && shown.contains("targetApi"), "{shown}");
    let target = format!("vm:target/{VM}");
    let (code, fault, _) = run(&["fault", "--dir", dir, &target, "latency", "--value", "50"]).await;
    assert!(code == Some(0) && fault.contains(r#""kind":"latency""#), "{fault}");
    let (code, _, said) = run(&["fault", "--dir", dir, &target, "latency"]).await;
    assert!(code == Some(1) && said.contains("needs a value"), "{said}");
    assert_eq!(run(&["heal", "--dir", dir]).await.0, Some(0));
    assert_eq!(run(&["users", "--dir", dir, "--every-ms", "1"]).await.0, Some(0));
    until("users were served", async || rig.get("control", "/users").await.1["summary"]["acked"].as_u64() > Some(0))
        .await;
    let (code, seen, _) = run(&["send-home", "--dir", dir]).await;
    assert!(code == Some(0) && seen.contains("bySource"), "{seen}");
    assert_eq!(run(&["verify", "--dir", dir, "source"]).await.0, Some(0));
    rig.must("sourceApi", "quiesce", Value::Null).await;
    rig.must("targetApi", "sync", json!({ "source": rig.input("sourceApi") })).await;
    let (code, _, said) = run(&["verify", "--dir", dir, "target"]).await;
    assert!(code == Some(1) && said.contains("cannot read the disk image"), "{said}");
    assert_eq!(run(&["verify", "--dir", dir, "moon"]).await.0, Some(2));
    assert_eq!(run(&["--help"]).await.0, Some(0));
    assert_eq!(run(&["stop", "--dir", dir]).await.0, Some(0));
    let (code, _, said) = run(&["show", "--dir", dir]).await;
    assert!(code == Some(1) && said.contains("start it again"), "{said}");
}

//! `dns.check` against name servers of ours, good and bad, and against BIND.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use bascule_plugin::{Left, Outcome, Role, Validation};
use hickory_proto::rr::rdata::{CNAME, MX, SRV, TXT};
use hickory_proto::rr::{Name, RData};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::attempt::{Attempt, refusal, validate};
use crate::name_server::{Manner, NameServer, a, record};

async fn check(with: Value) -> Value {
    Attempt::of("dns.check").execute(with).await.outputs()
}

async fn failure(with: Value) -> String {
    let (failure, left) = Attempt::of("dns.check").execute(with).await.failure();
    assert_eq!(left, Left::Nothing);
    failure
}

fn name(text: &str) -> Name {
    Name::from_str(text).expect("a name")
}

#[tokio::test]
async fn a_server_is_asked_for_values_and_their_time_to_live() {
    let server = NameServer::start(Manner::Good, vec![a(60, "10.0.0.2"), a(60, "10.0.0.1")]).await;
    let address = server.address.to_string();
    let outputs = check(json!({
        "name": "www.example.com", "servers": [address], "expect": ["10.0.0.2", "10.0.0.1"], "maxTtl": 60,
    }))
    .await;
    assert_eq!((&outputs["answers"], &outputs["ttl"]), (&json!(["10.0.0.1", "10.0.0.2"]), &json!(60)));
    assert_eq!(outputs["servers"][0]["server"], address);
    assert_eq!(outputs["servers"][0]["authoritative"], true);
}

#[tokio::test]
async fn every_kind_of_record_has_its_form() {
    let records = vec![
        record(60, RData::AAAA("2001:db8::1".parse().expect("an address"))),
        record(60, RData::CNAME(CNAME(name("Edge.example.com.")))),
        record(60, RData::TXT(TXT::new(vec!["v=spf1 ".to_owned(), "-all".to_owned()]))),
        record(60, RData::MX(MX::new(10, name("mail.example.com.")))),
        record(60, RData::SRV(SRV::new(1, 2, 443, name("srv.example.com.")))),
    ];
    let server = NameServer::start(Manner::Good, records).await;
    for (kind, value) in [
        ("AAAA", "2001:DB8:0::1"),
        ("CNAME", "edge.example.com."),
        ("TXT", "v=spf1 -all"),
        ("MX", "10 mail.example.com"),
        ("SRV", "1 2 443 srv.example.com."),
    ] {
        let servers = [server.address.to_string()];
        check(json!({"name": "www.example.com.", "type": kind, "servers": servers, "expect": [value]})).await;
    }
}

#[tokio::test]
async fn servers_that_disagree_are_named() {
    let old = NameServer::start(Manner::Good, vec![a(60, "10.0.0.1")]).await;
    let new = NameServer::start(Manner::Good, vec![a(60, "10.0.0.2")]).await;
    let servers = [old.address.to_string(), new.address.to_string()];
    let failure = failure(json!({"name": "www.example.com", "servers": servers})).await;
    let expected = format!("the servers disagree: 10.0.0.1 from {}; 10.0.0.2 from {}", old.address, new.address);
    assert!(failure.contains(&expected), "{failure}");
}

#[tokio::test]
async fn what_is_not_as_expected_is_said_per_server() {
    let server = NameServer::start(Manner::Good, vec![a(3600, "10.0.0.1")]).await;
    let servers = [server.address.to_string()];
    let with = json!({"name": "www.example.com", "servers": servers, "expect": ["10.0.0.2"], "maxTtl": 60});
    let said = failure(with).await;
    assert!(said.contains("says 10.0.0.1, expected was 10.0.0.2"), "{said}");
    assert!(said.contains("a time to live of 3600 s, allowed are 60 s"), "{said}");
    let said = failure(json!({"name": "none.example.com", "servers": servers})).await;
    assert!(said.contains("says nothing (NXDOMAIN)"), "{said}");
    let outputs = check(json!({"name": "none.example.com", "servers": servers, "expect": []})).await;
    assert_eq!((&outputs["answers"], &outputs["ttl"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn the_time_to_live_of_a_chain_is_its_longest() {
    let records = vec![record(3600, RData::CNAME(CNAME(name("edge.example.com.")))), a(30, "10.0.0.1")];
    let server = NameServer::start(Manner::Good, records).await;
    let outputs = check(json!({"name": "www.example.com", "servers": [server.address.to_string()]})).await;
    assert_eq!((&outputs["answers"], &outputs["ttl"]), (&json!(["10.0.0.1"]), &json!(3600)));
}

#[tokio::test]
async fn bad_manners_are_coped_with() {
    let many: Vec<_> = (1..=250).map(|host| a(60, &format!("10.0.0.{host}"))).collect();
    for (manner, records) in [
        (Manner::DeafTo(2), vec![a(60, "10.0.0.1")]),
        (Manner::Truncates, many),
        (Manner::Forged, vec![a(60, "10.0.0.1")]),
        (Manner::Old, vec![a(60, "10.0.0.1")]),
    ] {
        let count = records.len();
        let server = NameServer::start(manner, records).await;
        let with = json!({"name": "www.example.com", "servers": [server.address.to_string()], "timeout": "300ms"});
        let outputs = check(with).await;
        assert_eq!(outputs["answers"].as_array().map(Vec::len), Some(count), "{manner:?}");
        assert_eq!(outputs["answers"][0], "10.0.0.1", "{manner:?}");
    }
}

#[tokio::test]
async fn an_answer_from_elsewhere_is_no_answer() {
    let server = NameServer::start(Manner::FromElsewhere, vec![a(60, "6.6.6.6")]).await;
    let servers = [server.address.to_string()];
    let with = json!({"name": "www.example.com", "servers": servers, "timeout": "100ms", "retries": 1});
    let said = failure(with).await;
    assert!(said.contains(&format!("{}: no answer within 100ms, asked 2 times", server.address)), "{said}");
}

#[tokio::test]
async fn a_silent_and_a_closed_server_are_failures_that_name_them() {
    let good = NameServer::start(Manner::Good, vec![a(60, "10.0.0.1")]).await;
    let closed = crate::server::closed_port().await;
    let servers = [good.address.to_string(), closed.to_string()];
    let said = failure(json!({"name": "www.example.com", "servers": servers, "timeout": "200ms"})).await;
    assert!(said.contains(&closed.to_string()) && !said.contains(&good.address.to_string()), "{said}");
}

#[tokio::test]
async fn a_server_that_refuses_has_not_said_that_there_is_nothing() {
    let server = NameServer::start(Manner::Refuses, vec![a(60, "10.0.0.1")]).await;
    let servers = [server.address.to_string()];
    let said = failure(json!({"name": "www.example.com", "servers": servers, "expect": []})).await;
    assert!(said.contains("does not answer the question (REFUSED)"), "{said}");
}

#[tokio::test]
async fn a_cancel_ends_the_questions() {
    let server = NameServer::start(Manner::DeafTo(u32::MAX), Vec::new()).await;
    let attempt = Attempt::of("dns.check");
    let cancel = attempt.cancel.clone();
    let with = json!({"name": "www.example.com", "servers": [server.address.to_string()], "timeout": "1h"});
    let (seen, ()) = tokio::join!(attempt.execute(with), async { cancel.cancel() });
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Nothing });
}

#[tokio::test]
async fn impossible_parameters_are_refused() {
    for (with, expected) in [
        (json!({"name": "www.example.com", "servers": []}), "`servers` is empty"),
        (json!({"name": "a..b"}), "`name`: `a..b`"),
        (json!({"name": "www.example.com", "type": "a"}), "unknown variant `a`"),
        (json!({"name": "www.example.com", "servers": ["ns1:dns"]}), "`ns1:dns` is no server"),
        (json!({"name": "www.example.com", "retries": 1000}), "`retries`"),
    ] {
        let refused = refusal("dns.check", &with).await;
        assert!(refused.contains(expected), "{refused}");
    }
    let fine = json!({"name": "www.example.com", "servers": ["127.0.0.1:5353"]});
    assert_eq!(validate("dns.check", &fine, Role::Step).await, Validation::Verified);
}

/// A machine under load is slow; a server that needs longer to start is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// BIND on loopback, with one zone.
struct Named {
    address: SocketAddr,
    _child: Child,
    _folder: TempDir,
}

impl Named {
    /// Starts it; nothing where it is not installed.
    async fn start(serial: u32, vip: &str, ttl: u32) -> Option<Self> {
        let program =
            ["/usr/sbin/named", "/usr/local/sbin/named", "/usr/bin/named"].iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            assert!(std::env::var_os("CI").is_none(), "`named` is missing: install the package bind9");
            println!("not tried: `named` is not installed (package bind9)");
            return None;
        };
        // BIND cannot choose a port itself; another program may take it in between, so try again.
        for _ in 0..10 {
            if let Some(named) = Self::try_start(program, serial, vip, ttl).await {
                return Some(named);
            }
        }
        panic!("`named` did not start ten times");
    }

    async fn try_start(program: &str, serial: u32, vip: &str, ttl: u32) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let at = folder.path().display();
        let address = crate::server::closed_port().await;
        let zone = format!(
            "$TTL {ttl}\n@ SOA ns1 admin {serial} 60 60 60 {ttl}\n@ NS ns1\nns1 A 127.0.0.1\nwww A {vip}\n\
             edge CNAME www\nmany TXT {}\n",
            (0..60).map(|n| format!("\"text number {n} {}\"\nmany TXT", "x".repeat(100))).collect::<String>()
                + " \"last\""
        );
        let config = format!(
            "options {{ directory \"{at}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
             pid-file \"{at}/pid\"; session-keyfile \"{at}/session.key\"; recursion no; dnssec-validation no; \
             max-udp-size 1232; }};\ncontrols {{ }};\nzone \"example.com\" {{ type primary; file \"{at}/zone\"; }};\n",
            port = address.port()
        );
        std::fs::write(folder.path().join("zone"), zone).expect("a zone");
        std::fs::write(folder.path().join("named.conf"), config).expect("a configuration");
        let mut child = Command::new(program)
            .args(["-g", "-n", "1", "-c"])
            .arg(folder.path().join("named.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it can be started");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut log = Vec::new();
        let is_up = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("address in use") {
                    return Some(false);
                }
                let is_up = line.ends_with(" running");
                log.push(line);
                if is_up {
                    return Some(true);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, is_up).await {
            Ok(Some(true)) => {
                // Whoever writes into a pipe that nobody reads stops one day.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                Some(Self { address, _child: child, _folder: folder })
            }
            Ok(Some(false)) => None,
            Ok(None) | Err(_) => panic!("{}", log.join("\n")),
        }
    }
}

#[tokio::test]
async fn bind_is_understood() {
    let Some(one) = Named::start(2026, "10.0.0.7", 60).await else { return };
    let servers = [one.address.to_string()];
    let asked = |name: &str, kind: &str, expect: Value| json!({"name": name, "type": kind, "servers": servers, "expect": expect, "maxTtl": 60});
    check(asked("www.example.com", "A", json!(["10.0.0.7"]))).await;
    check(asked("edge.example.com", "A", json!(["10.0.0.7"]))).await;
    check(asked("edge.example.com", "CNAME", json!(["www.example.com"]))).await;
    check(asked("none.example.com", "A", json!([]))).await;
    let soa = check(asked("example.com", "SOA", json!(["ns1.example.com admin.example.com 2026 60 60 60 60"]))).await;
    assert_eq!(soa["servers"][0]["authoritative"], true);
    let many = check(json!({"name": "many.example.com", "type": "TXT", "servers": servers})).await;
    assert_eq!(many["answers"].as_array().map(Vec::len), Some(61), "an answer of 8 KB comes over TCP");
    let Some(other) = Named::start(2025, "10.0.0.1", 3600).await else { return };
    let servers = [one.address.to_string(), other.address.to_string()];
    let said = failure(json!({"name": "www.example.com", "servers": servers, "maxTtl": 60})).await;
    let expected = format!("10.0.0.1 from {}; 10.0.0.7 from {}", other.address, one.address);
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains(&format!("{} gives a time to live of 3600 s", other.address)), "{said}");
}

//! A lab in a temporary folder, and a client that speaks to its services.
//!
//! Every test has a lab of its own; a test that fails leaves no process behind. Start with [`Rig::start`].

use std::path::Path;
use std::time::Duration;

use bascule_lab::{Entry, EntryKind, Lab, LabHandle, LabOptions, Site};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const VM: &str = "analytics-01";

pub(crate) struct Rig {
    pub lab: LabHandle,
    pub client: Client,
    pub folder: TempDir,
    running: bool,
}

/// Backups on request only, so that a test sees its own lines of the ledger.
pub(crate) fn quiet() -> LabOptions {
    LabOptions { orders: 20, backup_every_ms: 3_600_000, ..LabOptions::default() }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(quiet()).await
    }

    pub(crate) async fn with(options: LabOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lab = launch(folder.path(), &options).await;
        let client = Client::builder()
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .tls_certs_only(std::iter::empty())
            .build()
            .expect("a client");
        Self { lab, client, folder, running: true }
    }

    /// Kills the serving process as a power cut would, and waits until it and its machines are gone.
    pub(crate) async fn kill(&mut self) {
        end(&self.lab.site);
        self.running = false;
        for path in [self.dir().join("lab.lock"), self.disk_of_source()] {
            let free = tokio::task::spawn_blocking(move || {
                std::fs::OpenOptions::new().write(true).open(path).and_then(|file| file.lock())
            });
            free.await.expect("a thread").expect("the lock of a process that is gone");
        }
    }

    pub(crate) async fn start_again(&mut self) {
        self.lab = launch(self.folder.path(), &quiet()).await;
        self.running = true;
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn disk_of_source(&self) -> std::path::PathBuf {
        bascule_lab::disk_of(self.dir(), bascule_lab::Side::Source, VM)
    }

    pub(crate) async fn call(&self, method: Method, url: &str, body: Value, key: Option<&str>) -> (u16, Value) {
        self.try_call(method, url, body, key).await.expect("an answer")
    }

    pub(crate) async fn try_call(
        &self,
        method: Method,
        url: &str,
        body: Value,
        key: Option<&str>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let mut request = self.client.request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key).header("bascule-attempt", format!("test/{key}/1"));
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }

    pub(crate) async fn get(&self, service: &str, path: &str) -> (u16, Value) {
        self.call(Method::GET, &format!("{}{path}", self.lab.url(service)), Value::Null, None).await
    }

    /// Looks at a machine.
    pub(crate) async fn vm(&self, service: &str) -> Value {
        let (status, machine) = self.get(service, &format!("/vms/{VM}")).await;
        assert_eq!(status, 200, "{machine}");
        machine
    }

    /// Asks a platform to do something with the machine.
    pub(crate) async fn ask(&self, service: &str, verb: &str, body: Value, key: Option<&str>) -> (u16, Value) {
        self.call(Method::POST, &format!("{}/vms/{VM}/{verb}", self.lab.url(service)), body, key).await
    }

    /// As [`Rig::ask`], and it must work.
    pub(crate) async fn must(&self, service: &str, verb: &str, body: Value) -> Value {
        let (status, answer) = self.ask(service, verb, body, None).await;
        assert_eq!(status, 200, "{verb}: {answer}");
        answer
    }

    pub(crate) async fn weights(&self, source: u32, target: u32, key: Option<&str>) -> (u16, Value) {
        let body = json!({ "source": source, "target": target });
        self.call(Method::PUT, &format!("{}/weights", self.lab.url("lb")), body, key).await
    }

    pub(crate) async fn order(&self, id: &str) -> (u16, Value) {
        self.call(Method::POST, &format!("{}/orders", self.lab.url("vip")), json!({ "id": id }), None).await
    }

    pub(crate) fn input(&self, name: &str) -> Value {
        self.lab.site.inputs[name].clone()
    }

    pub(crate) fn final_sync(&self) -> Value {
        json!({ "source": self.input("sourceApi"), "sourceUuid": self.input("sourceUuid"), "final": true })
    }

    pub(crate) fn way_home(&self) -> Value {
        json!({
            "target": self.input("targetApi"), "targetUuid": self.input("targetUuid"),
            "sourceUuid": self.input("sourceUuid"),
        })
    }

    /// Everything from quiesce to power on.
    pub(crate) async fn cut_over(&self) {
        self.must("sourceApi", "quiesce", Value::Null).await;
        self.must("targetApi", "sync", self.final_sync()).await;
        self.must("targetApi", "convert", Value::Null).await;
        self.must("targetApi", "attach", json!({ "profile": "gold-replicated" })).await;
        self.must("targetApi", "power-on", Value::Null).await;
    }

    /// Lines of the ledger for an action.
    pub(crate) fn ledger(&self, action: &str) -> Vec<(EntryKind, Option<String>)> {
        let all: Vec<Entry> = self.lab.ledger().expect("a ledger");
        all.into_iter().filter(|one| one.action == action).map(|one| (one.kind, one.key)).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.running {
            end(&self.lab.site);
        }
    }
}

fn end(site: &Site) {
    let pid = i32::try_from(site.pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    // It may have stopped by itself.
    let ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    assert!(matches!(ended, Ok(()) | Err(rustix::io::Errno::SRCH)), "{ended:?}");
}

pub(crate) async fn launch(dir: &Path, options: &LabOptions) -> LabHandle {
    Lab::start(Path::new(env!("CARGO_BIN_EXE_bascule-lab")), &[], dir, options).await.expect("a lab")
}

/// What another process writes into files has no event: looks again until it is so, for at most 20 s.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(std::time::Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

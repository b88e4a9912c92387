//! Simulated users: a process of its own that keeps ordering through the load balancer and notes what was acknowledged.
//!
//! A user repeats an order under the same id until it is acknowledged, as a person at a till would. The time from the first
//! try to the acknowledgement is what this user waited; if that try failed, it is also the outage that this user saw. What is in `users.ndjson` was promised to
//! somebody and must be on the serving disk. Start with [`run_users`].

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::lifeline;

/// Where acknowledged orders are noted, inside the lab's folder.
pub const USERS: &str = "users.ndjson";
/// A user who waits longer tries again.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pause before the next try of the same order.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a user who is told to leave goes on trying the order at hand.
const LAST_TRY: Duration = Duration::from_secs(3);

/// What the users do: the first line on their standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Crowd {
    pub vip: String,
    pub file: PathBuf,
    /// Makes the ids of this crowd its own.
    pub tag: String,
    pub writers: u32,
    pub every_ms: u64,
}

/// An acknowledged order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acked {
    /// The order.
    pub id: String,
    /// When it was acknowledged, in milliseconds since 1970.
    pub at: u64,
    /// How long the acknowledged try took, in milliseconds.
    pub ms: u64,
    /// How many tries it took.
    pub tries: u32,
    /// From the first try to the acknowledgement, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
    /// The same if the first try failed; 0 if it was acknowledged, however late.
    pub outage_ms: u64,
    /// Who acknowledged it: `source` or `target`.
    pub platform: String,
}

/// What the users saw.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsersSummary {
    /// Orders that were acknowledged.
    pub acked: u64,
    /// Tries that failed.
    pub failed_tries: u64,
    /// The longest time from an order's first try to its acknowledgement, in milliseconds: slow answers count.
    #[serde(default)]
    pub longest_wait_ms: u64,
    /// The same of orders whose first try failed, in milliseconds.
    pub longest_outage_ms: u64,
    /// Orders acknowledged by the source.
    pub by_source: u64,
    /// Orders acknowledged by the target.
    pub by_target: u64,
}

impl UsersSummary {
    fn add(&mut self, acked: &Acked) {
        self.acked += 1;
        self.failed_tries += u64::from(acked.tries.saturating_sub(1));
        self.longest_wait_ms = self.longest_wait_ms.max(acked.wait_ms.max(acked.ms));
        self.longest_outage_ms = self.longest_outage_ms.max(acked.outage_ms);
        match acked.platform.as_str() {
            "source" => self.by_source += 1,
            "target" => self.by_target += 1,
            _elsewhere => {}
        }
    }
}

/// Reads what was acknowledged so far. No file means that there were no users.
///
/// # Errors
/// The file cannot be read or a whole line is damaged.
pub fn read_acked(dir: &Path) -> std::io::Result<Vec<Acked>> {
    let text = match std::fs::read_to_string(dir.join(USERS)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).map_err(std::io::Error::other)).collect()
}

/// Sums up what was acknowledged so far.
///
/// # Errors
/// As [`read_acked`].
pub fn summary(dir: &Path) -> std::io::Result<UsersSummary> {
    let mut sum = UsersSummary::default();
    for acked in read_acked(dir)? {
        sum.add(&acked);
    }
    Ok(sum)
}

/// Runs the users until standard input closes.
pub(crate) async fn run_users() -> ExitCode {
    let mut input = lifeline::lines();
    let Some(line) = input.recv().await else { return ExitCode::SUCCESS };
    match crowd(&line) {
        Ok((crowd, client, file)) => {
            let stop = CancellationToken::new();
            let mut writers = JoinSet::new();
            let (client, file) = (Arc::new(client), Arc::new(Mutex::new(file)));
            for writer in 0..crowd.writers {
                let user = User {
                    crowd: crowd.clone(),
                    client: Arc::clone(&client),
                    file: Arc::clone(&file),
                    stop: stop.clone(),
                };
                writers.spawn(async move { user.order(writer).await });
            }
            // Nothing more is said on this channel; its end is the word to leave.
            while input.recv().await.is_some() {}
            stop.cancel();
            while writers.join_next().await.is_some() {}
            ExitCode::SUCCESS
        }
        Err(error) => {
            drop(writeln!(std::io::stderr().lock(), "users: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn crowd(line: &str) -> Result<(Crowd, Client, File), Box<dyn std::error::Error>> {
    let crowd: Crowd = serde_json::from_str(line)?;
    let client = crate::http::client(PATIENCE)?;
    let file = OpenOptions::new().create(true).append(true).open(&crowd.file)?;
    Ok((crowd, client, file))
}

struct User {
    crowd: Crowd,
    client: Arc<Client>,
    file: Arc<Mutex<File>>,
    stop: CancellationToken,
}

impl User {
    async fn order(&self, writer: u32) {
        let mut number = 0_u64;
        while !self.stop.is_cancelled() {
            number += 1;
            let id = format!("{}-w{writer}-{number}", self.crowd.tag);
            let Some(acked) = self.until_acked(id).await else { return };
            self.note(&acked);
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(self.crowd.every_ms)) => {}
            }
        }
    }

    /// Tries until acknowledged; gives up only a while after the word to leave.
    async fn until_acked(&self, id: String) -> Option<Acked> {
        let began = Instant::now();
        let mut leaving: Option<Instant> = None;
        let mut tries = 0_u32;
        loop {
            tries += 1;
            let started = Instant::now();
            if let Some(platform) = self.try_once(&id).await {
                let (ms, wait_ms) = (millis(started.elapsed()), millis(began.elapsed()));
                let outage_ms = if tries > 1 { wait_ms } else { 0 };
                return Some(Acked { id, at: now_ms(), ms, tries, wait_ms, outage_ms, platform });
            }
            if self.stop.is_cancelled() && leaving.get_or_insert_with(Instant::now).elapsed() > LAST_TRY {
                return None;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_once(&self, id: &str) -> Option<String> {
        let order = json!({ "id": id, "item": "analytics report", "quantity": 1 });
        let answer = self.client.post(format!("{}/orders", self.crowd.vip)).json(&order).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let body: Value = answer.json().await.ok()?;
        (body["id"] == id).then(|| body["platform"].as_str().unwrap_or("unknown").to_owned())
    }

    /// An order that cannot be noted is one promise fewer to check; the users go on.
    fn note(&self, acked: &Acked) {
        if let Ok(mut line) = serde_json::to_vec(acked) {
            line.push(b'\n');
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            drop(file.write_all(&line));
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

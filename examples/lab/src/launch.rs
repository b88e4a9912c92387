//! Starts a lab as a process of its own, finds one that runs, and talks to its control door.
//!
//! The lab leads a session of its own, so that no signal to the caller's terminal or process group reaches it; it ends
//! when it is told to, not when its caller does. Start with [`Lab::start`].

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::faults::{Fault, FaultKind};
use crate::ledger::{Entry, LedgerError, read_ledger};
use crate::program::Program;
use crate::serve::{LOCK, LabOptions};
use crate::site::{Site, SiteError};
use crate::users::UsersSummary;
use crate::verify::{Report, VerifyError, verify_orders};
use crate::window::Side;

/// A lab boots a machine and makes a backup before it is ready; it takes well under a second.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long a lab may take to send its users home and switch its machines off.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Why a lab could not be started, found or asked.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The process or its folder.
    #[error("cannot start {} as a lab in {}", program.display(), dir.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended or said nothing.
    #[error("the lab in {} did not become ready; the end of its log: {log}", dir.display())]
    NotReady {
        /// The folder.
        dir: PathBuf,
        /// The last lines of `lab.log`.
        log: String,
    },
    /// No `lab.json`, or a damaged one.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Its control door did not answer.
    #[error("the lab in {} does not answer: it was stopped or killed; start it again", dir.display())]
    Silent {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It answered with a refusal.
    #[error("the lab refused {what}: {message}")]
    Refused {
        /// The request.
        what: String,
        /// Its words.
        message: String,
    },
    /// It was told to stop and did not end.
    #[error("the lab in {} (process {pid}) did not stop", dir.display())]
    StillThere {
        /// The folder.
        dir: PathBuf,
        /// The process to end.
        pid: u32,
    },
    /// Its ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Its orders cannot be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Where labs come from.
#[derive(Debug, Clone, Copy)]
pub struct Lab;

impl Lab {
    /// Starts `program prefix… serve --dir DIR …` in a session of its own and waits until it is ready.
    ///
    /// # Errors
    /// The program cannot be started, or ends before it is ready.
    pub async fn start(
        program: &Path,
        prefix: &[&str],
        dir: &Path,
        options: &LabOptions,
    ) -> Result<LabHandle, LaunchError> {
        let failed = |source| LaunchError::Start { program: program.to_owned(), dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let log = OpenOptions::new().create(true).append(true).open(dir.join("lab.log")).map_err(failed)?;
        let mut command = Program::new(program, prefix).bare("serve");
        command.arg("--own-session").arg("--dir").arg(dir).args(options.arguments());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(failed)?;
        let silent = || LaunchError::NotReady { dir: dir.to_owned(), log: end_of_log(dir) };
        let stdout = child.stdout.take().ok_or_else(silent)?;
        let mut lines = BufReader::new(stdout).lines();
        match tokio::time::timeout(READY_LIMIT, lines.next_line()).await {
            Ok(Ok(Some(_ready))) => {}
            Ok(Ok(None) | Err(_)) => return Err(silent()),
            Err(_late) => {
                drop(child.kill().await);
                return Err(silent());
            }
        }
        LabHandle::open(dir, Some(child))
    }

    /// Finds the lab that runs in `dir`.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub async fn connect(dir: &Path) -> Result<LabHandle, LaunchError> {
        let handle = LabHandle::open(dir, None)?;
        handle.ask::<Value>(Method::GET, "/", None).await?;
        Ok(handle)
    }
}

fn end_of_log(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join("lab.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// A running lab. Dropping the handle leaves it running.
#[derive(Debug)]
pub struct LabHandle {
    /// Its folder.
    pub dir: PathBuf,
    /// Where everything is.
    pub site: Site,
    client: Client,
    child: Option<Child>,
}

impl LabHandle {
    fn open(dir: &Path, child: Option<Child>) -> Result<Self, LaunchError> {
        let site = Site::read(dir)?;
        let client =
            crate::http::client(STOP_LIMIT).map_err(|source| LaunchError::Silent { dir: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned(), site, client, child })
    }

    /// The base URL of a service by its name in `lab.json`; empty if there is none.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        self.site.url(name).unwrap_or_default()
    }

    /// Starts a fault.
    ///
    /// # Errors
    /// The lab does not answer, or the fault makes no sense.
    pub async fn inject(&self, fault: &Fault) -> Result<Fault, LaunchError> {
        self.ask(Method::POST, "/faults", serde_json::to_value(fault).ok()).await
    }

    /// Ends the faults of a target, or all.
    ///
    /// # Errors
    /// The lab does not answer.
    pub async fn heal(&self, target: Option<&str>) -> Result<(), LaunchError> {
        let query = target.map_or(String::new(), |target| format!("?target={target}"));
        self.ask::<Value>(Method::DELETE, &format!("/faults{query}"), None).await.map(|_| ())
    }

    /// Starts users who order all along, one order every `every_ms` each.
    ///
    /// # Errors
    /// The lab does not answer, or there are users already.
    pub async fn start_users(&self, writers: u32, every_ms: u64) -> Result<(), LaunchError> {
        let body = json!({ "writers": writers, "everyMs": every_ms });
        self.ask::<Value>(Method::POST, "/users", Some(body)).await.map(|_| ())
    }

    /// Sends the users home; answers what they saw since the lab began.
    ///
    /// # Errors
    /// The lab does not answer.
    pub async fn stop_users(&self) -> Result<UsersSummary, LaunchError> {
        self.ask(Method::DELETE, "/users", None).await
    }

    /// All that was done so far.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn ledger(&self) -> Result<Vec<Entry>, LaunchError> {
        Ok(read_ledger(&self.dir)?)
    }

    /// Whether the users' acknowledged orders are on the disk of `side`.
    ///
    /// # Errors
    /// Notes or disk cannot be read.
    pub fn verify_orders(&self, side: Side) -> Result<Report, LaunchError> {
        Ok(verify_orders(&self.dir, side)?)
    }

    /// Stops the lab and all its processes; waits until the serving process is gone.
    ///
    /// # Errors
    /// The lab does not answer or does not end.
    pub async fn stop(mut self) -> Result<(), LaunchError> {
        self.ask::<Value>(Method::POST, "/stop", None).await?;
        let still_there = LaunchError::StillThere { dir: self.dir.clone(), pid: self.site.pid };
        let lock = self.dir.join(LOCK);
        // The kernel lets go of the lab's lock when its process is gone, however it ended.
        let gone = tokio::task::spawn_blocking(move || OpenOptions::new().write(true).open(lock)?.lock());
        match tokio::time::timeout(STOP_LIMIT, gone).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => return Err(still_there),
        }
        if let Some(mut child) = self.child.take() {
            // Its exit code says nothing that its lock did not.
            drop(child.wait().await);
        }
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, LaunchError> {
        let silent = |source| LaunchError::Silent { dir: self.dir.clone(), source };
        let what = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.url("control")));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(silent)?;
        if answer.status().is_success() {
            return answer.json().await.map_err(silent);
        }
        let body: Value = answer.json().await.map_err(silent)?;
        let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
        Err(LaunchError::Refused { what, message: message.to_owned() })
    }
}

/// The kinds of fault by the words of the command line.
#[must_use]
pub fn fault_kind(word: &str) -> Option<FaultKind> {
    serde_json::from_value(json!(word)).ok()
}

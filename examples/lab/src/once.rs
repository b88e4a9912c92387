//! Every change in the lab goes through [`Desk::perform`]: one at a time per object, once per idempotency key, with a
//! line in the ledger, and to its end even when the caller is gone.
//!
//! It never interprets what it performs. A caller killed in the middle of a request cannot tear a deed apart from its
//! ledger line, because the deed runs as a task of its own. Start with [`Desk::perform`].

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::faults::{Board, FaultKind};
use crate::ledger::{Deed, EntryKind, Ledger};
use crate::refusal::Refusal;

/// How long a request waits for the one before it on the same object.
const QUEUE_LIMIT: Duration = Duration::from_secs(60);
/// Nothing in a lab takes longer; what does is stuck.
const WORK_LIMIT: Duration = Duration::from_secs(120);

/// The headers of a request that changes something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub key: Option<String>,
    pub attempt: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let key = text("idempotency-key");
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 512) {
            return Err(Refusal::bad(
                "bad_key",
                "the Idempotency-Key is empty or longer than 512 bytes",
                "send a shorter one",
            ));
        }
        Ok(Self { key, attempt: text("bascule-attempt") })
    }
}

/// A change that somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Where, what, to which object, by whom.
    pub deed: Deed,
    /// Everything of the request that makes it another request.
    pub body: Value,
}

impl Call {
    pub(crate) fn new(platform: &'static str, action: &'static str, vm: &str, caller: Caller) -> Self {
        let deed = Deed { platform, action, vm: vm.to_owned(), key: caller.key, attempt: caller.attempt };
        Self { deed, body: Value::Null }
    }

    pub(crate) fn body(mut self, body: impl Serialize) -> Self {
        // What came in as JSON goes out as JSON.
        self.body = serde_json::to_value(body).unwrap_or(Value::Null);
        self
    }
}

/// What became of the work.
#[derive(Debug)]
pub(crate) struct Done {
    /// Whether the world is another one now.
    pub changed: bool,
    /// For the answer and the ledger: a JSON object.
    pub detail: Value,
}

impl Done {
    pub(crate) fn effect(detail: Value) -> Self {
        Self { changed: true, detail }
    }

    pub(crate) fn noop(detail: Value) -> Self {
        Self { changed: false, detail }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answered {
    key: String,
    request: Value,
    answer: Value,
}

/// Where changes are asked for.
#[derive(Debug)]
pub(crate) struct Desk {
    pub ledger: Ledger,
    pub faults: Arc<Board>,
    answered: Mutex<(File, HashMap<String, Answered>)>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Desk {
    /// Opens the ledger and the remembered answers in `dir`.
    pub(crate) fn open(dir: &Path, faults: Arc<Board>) -> std::io::Result<Self> {
        let path = dir.join("answers.ndjson");
        let mut known = HashMap::new();
        if let Ok(text) = std::fs::read_to_string(&path) {
            // A torn last line is an answer that nobody has seen.
            for answered in text.lines().filter_map(|line| serde_json::from_str::<Answered>(line).ok()) {
                known.insert(answered.key.clone(), answered);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            ledger: Ledger::open(dir)?,
            faults,
            answered: Mutex::new((file, known)),
            gates: Mutex::new(HashMap::new()),
        })
    }

    /// Performs `work` unless its key was answered before; then the same answer comes again and nothing is done.
    pub(crate) async fn perform<F>(self: &Arc<Self>, call: Call, work: F) -> Result<Json<Value>, Refusal>
    where
        F: Future<Output = Result<Done, Refusal>> + Send + 'static,
    {
        let desk = Arc::clone(self);
        let task = tokio::spawn(async move { desk.through(call, work).await });
        task.await.map_err(|error| Refusal::broken("the work of a request ended early", &error))?.map(Json)
    }

    async fn through<F>(&self, call: Call, work: F) -> Result<Value, Refusal>
    where
        F: Future<Output = Result<Done, Refusal>> + Send,
    {
        let _gate = self.gate(&call.deed).await?;
        if let Some(answer) = self.answered_before(&call)? {
            return Ok(answer);
        }
        let place = match call.deed.platform {
            "lb" => "lb-api",
            "dns" => "dns-api",
            "backup" => "backup-api",
            platform => platform,
        };
        if self.faults.strike(place, FaultKind::Lie).is_some() {
            return Ok(answer(&call.deed, &Done::effect(json!({}))));
        }
        let done = tokio::time::timeout(WORK_LIMIT, work)
            .await
            .map_err(|_| Refusal::late(format!("{} of {} did not end in time", call.deed.action, call.deed.vm)))??;
        let kind = if done.changed { EntryKind::Effect } else { EntryKind::Noop };
        self.ledger
            .append(kind, &call.deed, done.detail.clone())
            .map_err(|error| Refusal::broken("cannot write the ledger", &error))?;
        let answer = answer(&call.deed, &done);
        self.remember(&call, &answer)?;
        Ok(answer)
    }

    async fn gate(&self, deed: &Deed) -> Result<OwnedSemaphorePermit, Refusal> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            let name = format!("{}/{}", deed.platform, deed.vm);
            Arc::clone(gates.entry(name).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        let busy = || {
            let message = format!("{} on {} is busy with another request", deed.vm, deed.platform);
            Refusal::conflict("busy", message, "ask again with the same Idempotency-Key")
        };
        tokio::time::timeout(QUEUE_LIMIT, gate.acquire_owned()).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    fn answered_before(&self, call: &Call) -> Result<Option<Value>, Refusal> {
        let Some(key) = &call.deed.key else { return Ok(None) };
        let open = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = open.1.get(key) else { return Ok(None) };
        if before.request == request(call) {
            return Ok(Some(before.answer.clone()));
        }
        Err(Refusal {
            status: axum::http::StatusCode::UNPROCESSABLE_ENTITY,
            code: "key_reused",
            message: format!("the Idempotency-Key `{key}` was used for another request"),
            hint: "a key names one action; use another one".to_owned(),
        })
    }

    fn remember(&self, call: &Call, answer: &Value) -> Result<(), Refusal> {
        let Some(key) = &call.deed.key else { return Ok(()) };
        let answered = Answered { key: key.clone(), request: request(call), answer: answer.clone() };
        let mut line =
            serde_json::to_vec(&answered).map_err(|error| Refusal::broken("cannot write an answer", &error))?;
        line.push(b'\n');
        let mut open = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        open.0.write_all(&line).map_err(|error| Refusal::broken("cannot write an answer", &error))?;
        open.1.insert(key.clone(), answered);
        Ok(())
    }
}

fn request(call: &Call) -> Value {
    json!([call.deed.platform, call.deed.action, call.deed.vm, call.body])
}

/// All changes are answered in one shape: `{ok, changed, platform, action, vm, …detail}`.
fn answer(deed: &Deed, done: &Done) -> Value {
    let mut answer = Map::new();
    answer.insert("ok".to_owned(), json!(true));
    answer.insert("changed".to_owned(), json!(done.changed));
    answer.insert("platform".to_owned(), json!(deed.platform));
    answer.insert("action".to_owned(), json!(deed.action));
    answer.insert("vm".to_owned(), json!(deed.vm));
    if let Value::Object(detail) = &done.detail {
        answer.extend(detail.clone());
    }
    Value::Object(answer)
}

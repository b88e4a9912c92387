//! The DNS server: answers the application's name over UDP with a TTL that can be changed through its API.
//!
//! A changed record is served at once, and is *effective* only when the caches that hold the former answer have let go
//! of it: after the former TTL. Start with [`Dns`].

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::asked::Asked;
use crate::clock::now_ms;
use crate::faults::FaultKind;
use crate::once::{Call, Caller, Desk, Done};
use crate::platform::write_whole;
use crate::refusal::{Refusal, no_route};

/// Questions that are answered at the same time; more wait in the socket.
const QUESTIONS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    address: Ipv4Addr,
    ttl: u32,
    changed_at: u64,
    /// The TTL of the answers that caches may still hold.
    previous_ttl: u32,
}

impl Entry {
    fn view(&self, name: &str) -> Value {
        let effective_at = self.changed_at + u64::from(self.previous_ttl) * 1000;
        json!({
            "name": name, "address": self.address, "ttl": self.ttl, "previousTtl": self.previous_ttl,
            "changedAt": self.changed_at, "effectiveAt": effective_at, "effective": now_ms() >= effective_at,
        })
    }
}

/// The zone.
pub(crate) struct Dns {
    desk: Arc<Desk>,
    file: PathBuf,
    zone: Mutex<BTreeMap<String, Entry>>,
}

impl Dns {
    /// Opens the zone as it was, or with `name` alone.
    pub(crate) fn open(desk: Arc<Desk>, dir: &FilePath, name: &str, ttl: u32) -> std::io::Result<Self> {
        let file = dir.join("zone.json");
        let zone = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(_new) => {
                let first = Entry { address: Ipv4Addr::LOCALHOST, ttl, changed_at: now_ms(), previous_ttl: 0 };
                BTreeMap::from([(name.to_owned(), first)])
            }
        };
        Ok(Self { desk, file, zone: Mutex::new(zone) })
    }

    fn find(&self, name: &str) -> Option<Entry> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn set(&self, name: &str, ask: &RecordAsk) -> Result<(bool, Entry), Refusal> {
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let before = zone.get(name).cloned();
        let missing = || Refusal::bad("no_address", format!("{name} is new and needs an address"), "say address");
        let address = ask.address.or(before.as_ref().map(|one| one.address)).ok_or_else(missing)?;
        let ttl = ask.ttl.or(before.as_ref().map(|one| one.ttl)).unwrap_or(300);
        if let Some(same) = before.as_ref().filter(|one| one.address == address && one.ttl == ttl) {
            return Ok((false, same.clone()));
        }
        let previous_ttl = before.map_or(0, |one| one.ttl);
        let entry = Entry { address, ttl, changed_at: now_ms(), previous_ttl };
        zone.insert(name.to_owned(), entry.clone());
        let failed = |error: &dyn std::error::Error| Refusal::broken("cannot write the zone", error);
        let bytes = serde_json::to_vec(&*zone).map_err(|error| failed(&error))?;
        write_whole(&self.file, &bytes).map_err(|error| failed(&error))?;
        Ok((true, entry))
    }

    /// Answers questions until `stop`.
    pub(crate) async fn serve(self: Arc<Self>, socket: Arc<UdpSocket>, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(QUESTIONS));
        let mut buffer = vec![0_u8; 4096];
        loop {
            let (length, peer) = tokio::select! {
                () = stop.cancelled() => return,
                received = socket.recv_from(&mut buffer) => match received {
                    Ok(received) => received,
                    // A former answer met a closed port; the next question has nothing to do with it.
                    Err(_error) => continue,
                },
            };
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let Ok(seat) = Arc::clone(&room).acquire_owned().await else { return };
            let (dns, socket) = (Arc::clone(&self), Arc::clone(&socket));
            tokio::spawn(async move {
                dns.reply(&question, &socket, peer).await;
                drop(seat);
            });
        }
    }

    async fn reply(&self, question: &Message, socket: &UdpSocket, peer: SocketAddr) {
        let strike = |kind| self.desk.faults.strike("dns-data", kind);
        if strike(FaultKind::Hang).is_some() || strike(FaultKind::LoseAnswer).is_some() {
            return;
        }
        if let Some(latency) = strike(FaultKind::Latency) {
            tokio::time::sleep(Duration::from_secs_f64(latency.value / 1000.0)).await;
        }
        let mut answer = self.answer(question);
        if strike(FaultKind::Refuse).is_some() {
            answer.answers.clear();
            answer.metadata.response_code = ResponseCode::Refused;
        } else if strike(FaultKind::Errors).is_some() {
            answer.answers.clear();
            answer.metadata.response_code = ResponseCode::ServFail;
        } else if strike(FaultKind::Lie).is_some() {
            for record in &mut answer.answers {
                record.data = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
            }
        }
        if let Ok(bytes) = answer.to_vec() {
            // Lost datagrams are asked for again.
            drop(socket.send_to(&bytes, peer).await);
        }
    }

    fn answer(&self, question: &Message) -> Message {
        let mut answer = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.authoritative = true;
        answer.add_queries(question.queries.iter().cloned());
        if question.metadata.op_code != OpCode::Query {
            answer.metadata.response_code = ResponseCode::NotImp;
            return answer;
        }
        let Some(query) = question.queries.first() else {
            answer.metadata.response_code = ResponseCode::FormErr;
            return answer;
        };
        let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        match self.find(&name) {
            None => answer.metadata.response_code = ResponseCode::NXDomain,
            Some(entry) if matches!(query.query_type(), RecordType::A | RecordType::ANY) => {
                answer.add_answer(Record::from_rdata(query.name().clone(), entry.ttl, RData::A(A(entry.address))));
            }
            // The name exists and has no record of that type: an empty answer.
            Some(_entry) => {}
        }
        answer
    }
}

type Here = State<Arc<Dns>>;

/// The API over the zone.
pub(crate) fn router(dns: Arc<Dns>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/records", get(list))
        .route("/records/{name}", get(one).put(put))
        .fallback(no_route)
        .with_state(dns)
}

async fn list(State(dns): Here) -> Json<Value> {
    let zone = dns.zone.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let records: Vec<Value> = zone.iter().map(|(name, entry)| entry.view(name)).collect();
    Json(json!({ "records": records }))
}

async fn one(State(dns): Here, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let name = name.to_ascii_lowercase();
    let entry = dns.find(&name);
    let missing = || Refusal::missing("no_such_record", format!("no record `{name}`"), "GET /records lists them");
    Ok(Json(entry.ok_or_else(missing)?.view(&name)))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordAsk {
    ttl: Option<u32>,
    address: Option<Ipv4Addr>,
}

async fn put(
    State(dns): Here,
    Path(name): Path<String>,
    caller: Caller,
    Asked(ask): Asked<RecordAsk>,
) -> Result<Json<Value>, Refusal> {
    let name = name.to_ascii_lowercase();
    let call = Call::new("dns", "set_record", &name, caller).body(&ask);
    let desk = Arc::clone(&dns.desk);
    desk.perform(call, async move {
        let (changed, entry) = dns.set(&name, &ask)?;
        Ok(Done { changed, detail: entry.view(&name) })
    })
    .await
}

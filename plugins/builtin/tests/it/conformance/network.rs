//! Worlds of the executors that speak over a network: servers on loopback.

use std::sync::Arc;

use async_trait::async_trait;
use bascule_plugin::conformance::{Subject, World};
use bascule_plugin::{Effect, Executor};
use serde_json::{Value, json};

use super::registered;
use crate::server::Server;

/// An executor beside a server with a ledger.
struct Http {
    executor: &'static str,
    name: &'static str,
    effect: Effect,
    with: fn(&Server) -> Value,
}

pub(super) fn subjects() -> Vec<Box<dyn Subject>> {
    let list = [
        Http {
            executor: "http.call",
            name: "to a server that knows keys",
            effect: Effect::Idempotent,
            with: |server| json!({"method": "POST", "url": server.url("/things"), "json": {"vm": "analytics-01"}}),
        },
        Http {
            executor: "http.call",
            name: "with a probe",
            effect: Effect::Probe,
            with: |server| {
                let probe = json!({"url": server.url("/things"), "pointer": "/count", "equals": 1});
                json!({"method": "POST", "url": server.url("/things"), "json": 1, "probe": probe})
            },
        },
        Http {
            executor: "http.call",
            name: "that starts a job",
            effect: Effect::Idempotent,
            with: |server| {
                json!({"method": "POST", "url": server.url("/jobs"), "poll": {
                    "url": server.url("/jobs/{/task/id}"), "every": "2ms", "cancel": {},
                    "until": {"pointer": "/state", "equals": "done"},
                    "failWhen": {"pointer": "/state", "equals": "cancelled"},
                }})
            },
        },
        Http {
            executor: "http.call",
            name: "that reads",
            effect: Effect::None,
            with: |server| json!({"url": server.url("/things")}),
        },
        Http {
            executor: "http.probe",
            name: "of a service",
            effect: Effect::None,
            with: |server| json!({"url": server.url("/things"), "requests": 3, "concurrency": 2}),
        },
    ];
    list.into_iter().map(|http| Box::new(http) as Box<dyn Subject>).collect()
}

#[async_trait]
impl Subject for Http {
    fn name(&self) -> String {
        format!("{} {}", self.executor, self.name)
    }

    fn executor(&self) -> Arc<dyn Executor> {
        registered(self.executor)
    }

    async fn fresh(&self) -> Box<dyn World> {
        let server = Server::start().await;
        Box::new(Served { with: (self.with)(&server), server })
    }

    fn effect(&self, _with: &Value) -> Effect {
        self.effect
    }
}

struct Served {
    server: Server,
    with: Value,
}

#[async_trait]
impl World for Served {
    fn with(&self) -> Value {
        self.with.clone()
    }

    async fn fingerprint(&self) -> String {
        self.server.look(|ledger| {
            let jobs: Vec<_> = ledger.jobs.iter().map(|(id, job)| (id, job.done)).collect();
            format!("things {:?} jobs {jobs:?}", ledger.things)
        })
    }
}

//! Worlds of the executors that speak over a network: servers on loopback.

use std::sync::Arc;

use async_trait::async_trait;
use bascule_plugin::conformance::{Subject, World};
use bascule_plugin::{Effect, Executor};
use serde_json::{Value, json};

use super::registered;
use crate::name_server::{Manner, NameServer, a};
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
    let http = list.into_iter().map(|http| Box::new(http) as Box<dyn Subject>);
    http.chain([Box::new(Lookup) as Box<dyn Subject>, Box::new(Port)]).collect()
}

/// `dns.check` of a name on two servers.
struct Lookup;

struct Servers {
    servers: Vec<NameServer>,
}

#[async_trait]
impl Subject for Lookup {
    fn name(&self) -> String {
        "dns.check on two servers".to_owned()
    }

    fn executor(&self) -> Arc<dyn Executor> {
        registered("dns.check")
    }

    async fn fresh(&self) -> Box<dyn World> {
        let good = NameServer::start(Manner::Good, vec![a(60, "10.0.0.7")]).await;
        let truncating = NameServer::start(Manner::Truncates, vec![a(60, "10.0.0.7")]).await;
        Box::new(Servers { servers: vec![good, truncating] })
    }
}

#[async_trait]
impl World for Servers {
    fn with(&self) -> Value {
        let servers: Vec<_> = self.servers.iter().map(|server| server.address.to_string()).collect();
        json!({"name": "www.example.com", "servers": servers, "expect": ["10.0.0.7"]})
    }

    async fn fingerprint(&self) -> String {
        String::new()
    }
}

/// `tcp.probe` of a server.
struct Port;

struct Listening(Server);

#[async_trait]
impl Subject for Port {
    fn name(&self) -> String {
        "tcp.probe with words".to_owned()
    }

    fn executor(&self) -> Arc<dyn Executor> {
        registered("tcp.probe")
    }

    async fn fresh(&self) -> Box<dyn World> {
        Box::new(Listening(Server::start().await))
    }
}

#[async_trait]
impl World for Listening {
    fn with(&self) -> Value {
        let port = self.0.address.port();
        json!({"host": "127.0.0.1", "port": port, "send": "GET / HTTP/1.0\r\n\r\n", "expect": "HTTP/1.0 404"})
    }

    async fn fingerprint(&self) -> String {
        self.0.look(|ledger| format!("{:?}", ledger.things))
    }
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
        self.server.settle().await;
        self.server.look(|ledger| {
            let jobs: Vec<_> = ledger.jobs.iter().map(|(id, job)| (id, job.done)).collect();
            format!("things {:?} jobs {jobs:?}", ledger.things)
        })
    }
}

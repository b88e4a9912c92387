//! HTTP over the Unix socket of a state directory: how other processes look at runs and decide.
//!
//! | route | answers |
//! |---|---|
//! | `GET /v1/health` | the owner, what it adopted |
//! | `GET /v1/runs` | all runs; `?open=true`: those that are not over |
//! | `POST /v1/runs` | creates a run from a plan's canonical JSON |
//! | `GET /v1/history/{app}` | how long the steps of an application took |
//! | `GET /v1/runs/{app}/{n}` | one run |
//! | `GET /v1/runs/{app}/{n}/events` | events as NDJSON, `?after=SEQUENCE&limit=N`; `?follow=true`: server-sent events |
//! | `GET /v1/runs/{app}/{n}/logs/{step}` | an attempt's log, `?attempt=N&undo=true&offset=BYTES&follow=true` |
//! | `GET /v1/runs/{app}/{n}/graph` | steps and needs |
//! | `GET /v1/runs/{app}/{n}/report` | the report page |
//! | `POST /v1/runs/{app}/{n}/verbs` | a person's verb, or a preview of it |
//!
//! Errors are `application/problem+json`. The actor of a verb is the peer's user; a name that it gives is recorded as
//! claimed. Nothing here decides anything. Start with [`Server::start`].

pub mod amend;
mod events;
mod gate;
mod graph;
mod logs;
pub mod peer;
pub mod problem;
mod runs;
pub mod socket;
pub mod verbs;
pub mod wire;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::machine::fact::Millis;
use gate::Gate;
use peer::Peer;
use problem::Problem;
use socket::SocketError;
use wire::Health;

/// The longest body of a request: a plan of some ten thousand steps.
pub const MAX_BODY: usize = 32 << 20;

/// How long open requests may take once the server goes down.
const GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether the socket is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What every route sees.
pub struct Site {
    /// The engine that owns the directory.
    pub engine: Arc<Engine>,
    /// Ends open streams and refuses new runs.
    pub closing: CancellationToken,
    /// The owner, told to whoever asks.
    pub health: Health,
    /// What changes something comes through here.
    pub gate: Gate,
    marks: Arc<events::Marks>,
    /// The user of the state directory: nobody else but root may speak.
    user: Option<u32>,
    busy: AtomicUsize,
    touched: AtomicI64,
}

/// A request under way. It counts until it is dropped, also where its client leaves in the middle.
struct Busy(Arc<Site>);

impl Busy {
    fn new(site: Arc<Site>) -> Self {
        site.busy.fetch_add(1, Ordering::SeqCst);
        Self(site)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touched.store(self.0.engine.clock().now().steady, Ordering::SeqCst);
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Site {
    /// What routes see of an engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>, health: Health) -> Arc<Self> {
        let touched = AtomicI64::new(engine.clock().now().steady);
        let closing = CancellationToken::new();
        let user = std::fs::metadata(engine.state_dir()).ok().map(|meta| meta.uid());
        Arc::new(Self {
            engine,
            closing,
            health,
            gate: Gate::default(),
            marks: Arc::default(),
            user,
            busy: AtomicUsize::new(0),
            touched,
        })
    }

    /// Requests under way, and when the newest one ended: an owner does not leave while somebody talks to it.
    #[must_use]
    pub fn traffic(&self) -> (usize, Millis) {
        (self.busy.load(Ordering::SeqCst), self.touched.load(Ordering::SeqCst))
    }
}

/// A listening server.
pub struct Server {
    site: Arc<Site>,
    socket: PathBuf,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on the socket of the engine's state directory, which this process owns: a socket that is there
    /// already is a dead owner's and is replaced. One that is removed later is made again.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(site: Arc<Site>) -> Result<Self, SocketError> {
        let socket = socket::path(site.engine.state_dir());
        let listener = socket::listen(&socket)?;
        let task = tokio::spawn(keep_listening(site.clone(), socket.clone(), listener));
        Ok(Self { site, socket, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Ends open streams, lets requests finish for a moment, removes the socket.
    pub async fn stop(self) {
        self.site.gate.close();
        self.site.closing.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the server did not end by itself");
        }
    }
}

/// Serves, and looks each second whether the socket's name is still there: who removed it wanted to help, and would
/// leave an engine that nobody can speak to.
async fn keep_listening(site: Arc<Site>, socket: PathBuf, listener: UnixListener) {
    let mut mark = socket::mark(&socket);
    let mut serving = vec![tokio::spawn(serve(site.clone(), listener))];
    loop {
        tokio::select! {
            () = site.closing.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
        if socket::mark(&socket) == mark || !site.engine.owns() {
            continue;
        }
        match socket::listen(&socket) {
            Ok(listener) => {
                tracing::warn!(socket = %socket.display(), "the socket was removed; this engine listens again");
                mark = socket::mark(&socket);
                serving.push(tokio::spawn(serve(site.clone(), listener)));
            }
            Err(error) => tracing::error!(%error, "the socket was removed and cannot be made again"),
        }
    }
    for serving in serving {
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the server did not end by itself");
        }
    }
    // Another engine's is not ours to remove.
    if socket::mark(&socket) == mark {
        drop(std::fs::remove_file(&socket));
    }
}

async fn serve(site: Arc<Site>, listener: UnixListener) {
    let app = router(site.clone()).into_make_service_with_connect_info::<Peer>();
    let closing = site.closing.clone();
    let serving = axum::serve(listener, app).with_graceful_shutdown({
        let closing = closing.clone();
        async move { closing.cancelled().await }
    });
    let late = async {
        closing.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = serving => {
            if let Err(error) = ended {
                tracing::error!(%error, "the socket cannot be served any longer");
            }
        }
        // A client that neither reads nor leaves does not hold the owner.
        () = late => {}
    }
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/v1/health", get(runs::health))
        .route("/v1/runs", get(runs::list).post(runs::create))
        .route("/v1/history/{app}", get(runs::history))
        .route("/v1/runs/{app}/{number}", get(runs::one))
        .route("/v1/runs/{app}/{number}/events", get(events::events))
        .route("/v1/runs/{app}/{number}/logs/{step}", get(logs::log))
        .route("/v1/runs/{app}/{number}/graph", get(graph::graph))
        .route("/v1/runs/{app}/{number}/report", get(graph::report))
        .route("/v1/runs/{app}/{number}/verbs", post(verbs::decide))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(site.clone(), count))
        .with_state(site)
}

/// Counts requests under way. A stream counts until its head is sent: whoever only watches holds nobody. The file's
/// mode keeps other users out; this keeps them out where somebody changed that.
async fn count(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().and_then(|ConnectInfo(peer)| peer.uid);
    if let (Some(uid), Some(user)) = (peer, site.user)
        && uid != user
        && uid != 0
    {
        let what = format!("{} may not use the engine of {}", peer::user_name(uid), peer::user_name(user));
        return Problem::new(axum::http::StatusCode::FORBIDDEN, what).into_response();
    }
    let _busy = Busy::new(site);
    next.run(request).await
}

async fn no_route(request: Request) -> Problem {
    Problem::not_found(format!("there is no {}", request.uri().path())).hint("the routes begin with /v1/")
}

async fn wrong_method(request: Request) -> Problem {
    let what = format!("{} does not take {}", request.uri().path(), request.method());
    Problem::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, what)
}

//! The socket's other end: asks the owner of a state directory.
//!
//! Nobody listening is an answer, not an error: [`Client::find`] gives `None` and the caller looks at the files, or
//! starts an owner. Every request has a time limit, so that an owner that hangs is told from one that is slow.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::CliError;
use crate::plan::History;
use crate::server::problem::Problem;
use crate::server::socket::{self, ShortPath};
use crate::server::wire::{Health, Measured, NewRunRequest, RunCreated, VerbAnswer, VerbRequest};
use crate::store::RunName;
use crate::view::{EventView, RunSummary, RunView};

/// Events in one answer. The route gives up to 20,000: a page that is not full is the last one.
const EVENTS_PAGE: usize = 10_000;

/// How long an owner may take to answer. Only streams take longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to say that it is there, and to show something: whoever looks can read the files instead.
const LOOK: Duration = Duration::from_secs(4);

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no engine listens on {}", .0.display())]
    Nobody(PathBuf),
    /// The owner is going down.
    #[error("the engine is going down")]
    Leaving,
    /// The owner went away before it answered: what was asked may have been done.
    #[error("the engine on {} ended before it answered; `bascule status` shows what is the case", .0.display())]
    Lost(PathBuf),
    /// The owner says no, or that something failed.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// The owner did not answer in time.
    #[error("the engine that owns {} does not answer", .0.display())]
    Hangs(PathBuf),
    /// The answer cannot be understood, or the connection broke.
    #[error("the engine's answer cannot be used")]
    Broken(#[source] reqwest::Error),
    /// The answer is not of the shape that this program knows.
    #[error("the engine's answer cannot be understood: is it another version of this program?")]
    Shape(#[source] serde_json::Error),
    /// The client itself cannot be made.
    #[error("the socket {} cannot be reached", .0.display())]
    Path(PathBuf, #[source] std::io::Error),
}

impl ClientError {
    /// Whether the owner is not there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Nobody(_) | Self::Leaving | Self::Lost(_))
    }

    /// Whether it is there and says nothing.
    #[must_use]
    pub fn hangs(&self) -> bool {
        matches!(self, Self::Hangs(_))
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem(problem) => {
                let failed = Self::new(problem.detail);
                match problem.hint {
                    Some(hint) => failed.hint(hint),
                    None => failed,
                }
            }
            ClientError::Hangs(ref socket) => Self::new(error.to_string())
                .hint(super::offline::silent_owner(socket.parent().unwrap_or(Path::new(".")))),
            other @ (ClientError::Nobody(_)
            | ClientError::Leaving
            | ClientError::Lost(_)
            | ClientError::Broken(_)
            | ClientError::Shape(_)
            | ClientError::Path(..)) => {
                let what = other.to_string();
                match std::error::Error::source(&other).map(ToString::to_string) {
                    Some(why) => Self::new(format!("{what}: {why}")),
                    None => Self::new(what),
                }
            }
        }
    }
}

/// Talks to an owner.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
    _short: ShortPath,
}

/// Which runs are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Those that are not over.
    Open,
    /// All.
    All,
}

impl Client {
    /// The owner of a state directory, if one answers.
    ///
    /// # Errors
    /// Somebody listens and does not answer.
    pub async fn find(state: &Path) -> Result<Option<(Self, Health)>, ClientError> {
        let socket = socket::path(state);
        if !socket.exists() {
            return Ok(None);
        }
        let short = ShortPath::of(&socket).map_err(|error| ClientError::Path(socket.clone(), error))?;
        // A socket needs no certificates; reading the system's costs more than all the rest of a start.
        let builder = reqwest::Client::builder().tls_certs_only(None).unix_socket(short.path()).no_proxy();
        let http = builder.build().map_err(ClientError::Broken)?;
        let client = Self { http, socket, _short: short };
        match client.get::<Health>("/v1/health").await {
            Ok(health) => Ok(Some((client, health))),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The owner as it is now.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/v1/health").await
    }

    /// Runs, in the order of their names.
    ///
    /// # Errors
    /// The owner does not answer.
    pub async fn runs(&self, which: Runs) -> Result<Vec<RunSummary>, ClientError> {
        let path = match which {
            Runs::Open => "/v1/runs?open=true",
            Runs::All => "/v1/runs",
        };
        self.get(path).await
    }

    /// One run.
    ///
    /// # Errors
    /// There is none, or the owner does not answer.
    pub async fn run(&self, name: &RunName) -> Result<RunView, ClientError> {
        self.get(&format!("/v1/runs/{name}")).await
    }

    /// How long the steps of an application took in earlier runs.
    ///
    /// # Errors
    /// The owner does not answer.
    pub async fn history(&self, application: &str) -> Result<History, ClientError> {
        let measured: Measured = self.get(&format!("/v1/history/{application}")).await?;
        Ok(measured.into_history())
    }

    /// Creates a run.
    ///
    /// # Errors
    /// The owner refuses it, or does not answer.
    pub async fn create(&self, request: &NewRunRequest) -> Result<RunCreated, ClientError> {
        self.post("/v1/runs", request).await
    }

    /// Hands a verb to a run.
    ///
    /// # Errors
    /// It is not legal now, or the owner does not answer.
    pub async fn decide(&self, name: &RunName, request: &VerbRequest) -> Result<VerbAnswer, ClientError> {
        self.post(&format!("/v1/runs/{name}/verbs"), request).await
    }

    /// Events after a sequence number, at most `limit`.
    ///
    /// # Errors
    /// There is no such run, or the owner does not answer.
    async fn events(&self, name: &RunName, after: u64, limit: usize) -> Result<Vec<EventView>, ClientError> {
        let path = format!("/v1/runs/{name}/events?after={after}&limit={limit}");
        let response = self.send(self.request(Method::GET, &path).timeout(PATIENCE)).await?;
        let text = response.text().await.map_err(|error| self.failed(error))?;
        text.lines().map(|line| serde_json::from_str(line).map_err(ClientError::Shape)).collect()
    }

    /// All events after a sequence number, however many pages they fill.
    ///
    /// # Errors
    /// As [`Client::events`].
    pub async fn all_events(&self, name: &RunName, after: u64) -> Result<Vec<EventView>, ClientError> {
        let mut all: Vec<EventView> = Vec::new();
        loop {
            let newest = all.last().map_or(after, |event| event.sequence);
            let page = self.events(name, newest, EVENTS_PAGE).await?;
            let is_last = page.len() < EVENTS_PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Events after a sequence number as they come; ends with the run or with the owner.
    ///
    /// # Errors
    /// There is no such run, or the owner does not answer.
    pub async fn follow(&self, name: &RunName, after: u64) -> Result<Events, ClientError> {
        let path = format!("/v1/runs/{name}/events?follow=true&after={after}");
        let response = self.send(self.request(Method::GET, &path)).await?;
        let stream = response.bytes_stream().map_ok(|bytes| bytes.to_vec()).boxed();
        Ok(Events { stream, buffer: Vec::new() })
    }

    /// A part of an attempt's log; `query` holds the route's parameters.
    ///
    /// # Errors
    /// There is no such attempt, or the owner does not answer.
    pub async fn log(
        &self,
        name: &RunName,
        step: &str,
        query: &[(&str, String)],
    ) -> Result<BoxStream<'static, Result<Vec<u8>, reqwest::Error>>, ClientError> {
        let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let request = self.request(Method::GET, &format!("/v1/runs/{name}/logs/{step}?{}", query.join("&")));
        let response = self.send(request).await?;
        Ok(response.bytes_stream().map_ok(|bytes| bytes.to_vec()).boxed())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::GET, path).timeout(LOOK)).await?;
        self.read(response).await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::POST, path).timeout(PATIENCE).json(body)).await?;
        self.read(response).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The socket decides who answers; the name is only a form.
        self.http.request(method, format!("http://engine{path}"))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let bytes = response.bytes().await.map_err(|error| self.failed(error))?;
        serde_json::from_slice(&bytes).map_err(ClientError::Shape)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Err(ClientError::Leaving);
        }
        let status = response.status();
        let problem = response.json::<Problem>().await;
        Err(ClientError::Problem(
            problem.unwrap_or_else(|_| Problem::new(status, format!("the engine answered {status}"))),
        ))
    }

    fn failed(&self, error: reqwest::Error) -> ClientError {
        if error.is_connect() {
            ClientError::Nobody(self.socket.clone())
        } else if error.is_timeout() {
            ClientError::Hangs(self.socket.clone())
        } else if error.is_request() || error.is_body() {
            ClientError::Lost(self.socket.clone())
        } else {
            ClientError::Broken(error)
        }
    }
}

/// Why a stream of events ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The run is over.
    RunOver,
    /// The owner left, or the connection broke.
    OwnerGone,
}

/// Events as they come.
pub struct Events {
    stream: BoxStream<'static, Result<Vec<u8>, reqwest::Error>>,
    buffer: Vec<u8>,
}

impl Events {
    /// The next event; waits for it.
    ///
    /// # Errors
    /// The stream ended, and why; or what came is no event.
    pub async fn next(&mut self) -> Result<Result<EventView, Ended>, ClientError> {
        loop {
            while let Some(block) = self.block() {
                let mut kind = "";
                let mut data = String::new();
                for line in block.lines() {
                    if let Some(rest) = line.strip_prefix("event:") {
                        kind = rest.trim();
                    } else if let Some(rest) = line.strip_prefix("data:") {
                        data.push_str(rest.strip_prefix(' ').unwrap_or(rest));
                    }
                }
                match kind {
                    "end" => return Ok(Err(Ended::RunOver)),
                    "leaving" => return Ok(Err(Ended::OwnerGone)),
                    "problem" => {
                        let problem = serde_json::from_str(&data).map_err(ClientError::Shape)?;
                        return Err(ClientError::Problem(problem));
                    }
                    // A comment keeps the connection alive.
                    _ if data.is_empty() => {}
                    _ => return serde_json::from_str(&data).map(Ok).map_err(ClientError::Shape),
                }
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.buffer.extend(bytes),
                // A connection that breaks is an owner that died.
                Some(Err(_)) | None => return Ok(Err(Ended::OwnerGone)),
            }
        }
    }

    /// The next whole block of the stream: what stands before an empty line.
    fn block(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&block).into_owned())
    }
}

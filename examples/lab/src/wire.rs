//! How a service of the lab stands on the network: a listener on loopback that can refuse, hang, be slow, fail, or
//! drop a connection after the work is done; everything else is axum.
//!
//! It knows nothing of what is served. Start with [`Door::open`] and [`Door::serve`].

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::faults::{Board, FaultKind};
use crate::http::BACKGROUND;
use crate::refusal::Refusal;
use crate::window::Window;

/// Connections that one service keeps open at the same time; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
/// The kernel's queue of connections that nobody has accepted.
const BACKLOG: u32 = 1024;
/// No handler answers later than this, faults included.
const ANSWER_LIMIT: Duration = Duration::from_secs(660);

/// A bound address of one service.
pub(crate) struct Door {
    /// The name under which faults find it.
    place: &'static str,
    faults: Arc<Board>,
    address: SocketAddr,
    listener: Option<TcpListener>,
    room: Arc<Semaphore>,
    window: Option<Arc<Window>>,
}

impl Door {
    /// Listens on loopback: on `port`, or on a free one if it is 0.
    pub(crate) fn open(place: &'static str, port: u16, faults: Arc<Board>) -> io::Result<Self> {
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        Ok(Self { place, faults, address, listener: Some(listener), room, window: None })
    }

    /// Records every answer, faults included, as a client would time it.
    pub(crate) fn timed(mut self, window: Arc<Window>) -> Self {
        self.window = Some(window);
        self
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop`; open requests then have a moment to end.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let layer = Misbehaviour { place: self.place, faults: Arc::clone(&self.faults), window: self.window.clone() };
        let router = router.layer(axum::middleware::from_fn_with_state(layer, answer));
        let stopped = stop.clone();
        let service = router.into_make_service_with_connect_info::<Cut>();
        let serving = axum::serve(self, service).with_graceful_shutdown(stop.cancelled_owned()).into_future();
        tokio::select! {
            // It ends without an error: its listener waits where others would fail.
            _ended = serving => {}
            () = async { stopped.cancelled().await; tokio::time::sleep(Duration::from_millis(500)).await } => {}
        }
    }

    /// Waits while connections are to be refused. The port stays bound without listening, so that nobody else takes it.
    async fn listening(&mut self) -> io::Result<&TcpListener> {
        let mut changes = self.faults.changes();
        if self.faults.is_closed(self.place) {
            self.listener = None;
            let held = bind(self.address)?;
            while self.faults.is_closed(self.place) && changes.changed().await.is_ok() {}
            self.listener = Some(held.listen(BACKLOG)?);
        }
        if self.listener.is_none() {
            self.listener = Some(bind(self.address)?.listen(BACKLOG)?);
        }
        self.listener.as_ref().ok_or_else(|| io::Error::other("the listener is gone"))
    }

    async fn next(&mut self) -> io::Result<(Wire, SocketAddr)> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)?;
        loop {
            let mut changes = self.faults.changes();
            let listener = self.listening().await?;
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, peer) = accepted?;
                    stream.set_nodelay(true)?;
                    return Ok((Wire { stream, cut: Cut::default(), _room: room }, peer));
                }
                // Faults changed: perhaps the door is to be closed.
                _changed = changes.changed() => {}
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.next().await {
                Ok(accepted) => return accepted,
                // Out of file descriptors, or a peer that was gone before it was accepted: others still wait.
                Err(_error) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Ends a connection without a byte of the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    fn now(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Door>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().cut.clone()
    }
}

/// A connection that can be cut.
pub(crate) struct Wire {
    stream: TcpStream,
    cut: Cut,
    _room: OwnedSemaphorePermit,
}

impl Wire {
    fn refused(&self) -> Option<Poll<io::Result<usize>>> {
        self.cut.0.load(Ordering::Acquire).then(|| Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.refused().unwrap_or_else(|| Pin::new(&mut self.stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.refused().unwrap_or_else(|| Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Clone)]
struct Misbehaviour {
    place: &'static str,
    faults: Arc<Board>,
    window: Option<Arc<Window>>,
}

async fn answer(
    State(layer): State<Misbehaviour>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let background = request.headers().contains_key(BACKGROUND);
    let answer = misbehave(&layer, &cut, request, next).await;
    if let Some(window) = layer.window.as_ref().filter(|_| !background) {
        window.record(None, started.elapsed(), !answer.status().is_server_error() && !cut.0.load(Ordering::Acquire));
    }
    answer
}

/// Strikes with the faults of a service, in the order in which a client would meet them.
async fn misbehave(layer: &Misbehaviour, cut: &Cut, request: Request, next: Next) -> Response {
    let background = request.headers().contains_key(BACKGROUND);
    let strike = |kind| match background {
        true => layer.faults.strike_background(layer.place, kind),
        false => layer.faults.strike(layer.place, kind),
    };
    let nothing = || StatusCode::SERVICE_UNAVAILABLE.into_response();
    if strike(FaultKind::Refuse).is_some() {
        cut.now();
        return nothing();
    }
    if let Some(hang) = strike(FaultKind::Hang) {
        // Nobody waits for ever, not even for a service that hangs.
        drop(tokio::time::timeout(ANSWER_LIMIT, layer.faults.cleared(hang.id)).await);
        cut.now();
        return nothing();
    }
    if let Some(latency) = strike(FaultKind::Latency) {
        tokio::time::sleep(Duration::from_secs_f64(latency.value / 1000.0)).await;
    }
    if strike(FaultKind::Errors).is_some() {
        return Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "injected_error",
            message: format!("{} fails on request; nothing was done", layer.place),
            hint: "clear the fault with DELETE /faults".to_owned(),
        }
        .into_response();
    }
    let changes = request.method() != Method::GET && request.method() != Method::HEAD;
    let answer = match tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await {
        Ok(answer) => answer,
        Err(_late) => Refusal::late(format!("{} had no answer in time", layer.place)).into_response(),
    };
    if changes && answer.status().is_success() && strike(FaultKind::LoseAnswer).is_some() {
        cut.now();
    }
    answer
}

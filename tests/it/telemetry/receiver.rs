//! Receivers of spans: a real collector, and some that are no help.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A machine under load is slow; a test that waits longer has found something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span as the collector printed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) name: String,
    pub(super) attributes: Vec<String>,
}

/// The collector: a process that prints what it was sent.
pub(super) struct Collector {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
    pub(super) url: String,
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Where `.ci/install` puts the collector: beside what cargo builds.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder of the target folder");
    let found = target.join("receiver/rotel/rotel-agent");
    assert!(found.exists(), "the OTLP receiver is missing, `.ci/install` puts it to {}", found.display());
    found
}

impl Collector {
    /// Starts it on free ports. Somebody may be quicker to take one: then it is tried again.
    pub(super) fn start() -> Self {
        (0..5).find_map(|_| Self::on(free_port(), free_port())).expect("the collector starts")
    }

    fn on(http: u16, grpc: u16) -> Option<Self> {
        let mut child = Command::new(program())
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the collector is a program");
        let out = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut collector = Self { child, lines, heard: Vec::new(), url: format!("http://127.0.0.1:{http}") };
        let until = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < until {
            if TcpStream::connect(("127.0.0.1", http)).is_ok() {
                return Some(collector);
            }
            if collector.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return None;
            }
            std::thread::yield_now();
        }
        None
    }

    /// Reads on until a span of this name was printed whole: the next line after it belongs to something else.
    pub(super) fn until(&mut self, name: &str) {
        let wanted = format!("Name           : {name}");
        while !self.heard.iter().any(|line| line.contains(&wanted)) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.heard.push(line),
                Err(error) => panic!("no span `{name}` came ({error}); heard:\n{}", self.heard.join("\n")),
            }
        }
    }

    /// Ends it, and gives every span that it was sent.
    pub(super) fn spans(mut self) -> Vec<Span> {
        let asked = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(asked.expect("`kill` is there").success(), "the collector is gone");
        self.child.wait().expect("the process is ours");
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.heard.push(line);
        }
        let mut spans: Vec<Span> = Vec::new();
        for line in &self.heard {
            let line = line.trim();
            if line.starts_with("Span #") {
                spans.push(Span::default());
            }
            let Some(span) = spans.last_mut() else { continue };
            let value = |key: &str| line.strip_prefix(key).map(|rest| rest.trim_start_matches([' ', ':']).to_owned());
            value("Trace ID").into_iter().for_each(|trace| span.trace = trace);
            value("Parent ID").into_iter().for_each(|parent| span.parent = parent);
            value("ID").into_iter().for_each(|id| span.id = id);
            value("Name").into_iter().for_each(|name| span.name = name);
            span.attributes.extend(value("->"));
        }
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // A test that fails in the middle leaves no process behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address of a receiver that refuses connections.
pub(super) fn refuses() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// A receiver that takes connections and never answers; it lives as long as what is returned.
pub(super) fn hangs() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    (format!("http://{}", listener.local_addr().expect("it is bound")), listener)
}

/// A receiver that answers every request with 500, and says on the channel that it did.
pub(super) fn fails() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if answer(stream).is_ok() && sender.send(()).is_err() {
                return;
            }
        }
    });
    (url, asked)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    request.take(length).read_to_end(&mut Vec::new())?;
    stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

//! HTTP by hand over a Unix socket: what a test sends is what the server gets.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli_run::Place;

/// A server that answers later has been hurt.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to send.
pub(crate) struct Wire {
    socket: PathBuf,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The JSON of a success.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        serde_json::from_str(&self.body).expect("an answer is JSON")
    }
}

impl Wire {
    /// To the owner that listens.
    pub(crate) fn to(place: &Place) -> Self {
        Self { socket: place.state().join("engine.sock") }
    }

    /// To one that is about to: a refused connection is tried again.
    pub(crate) fn when_it_listens(place: &Place) -> Self {
        let wire = Self::to(place);
        let since = Instant::now();
        while UnixStream::connect(&wire.socket).is_err() {
            assert!(since.elapsed() < PATIENCE, "nobody listens");
            std::thread::yield_now();
        }
        wire
    }

    /// A connection that says nothing.
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.raw(&format!("GET {path}"), b"", "application/json")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.raw(&format!("POST {path}"), body.to_string().as_bytes(), "application/json")
    }

    /// A request as it is written here.
    pub(crate) fn raw(&self, line: &str, body: &[u8], kind: &str) -> Answer {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: engine\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        send(&mut stream, head.as_bytes());
        send(&mut stream, body);
        let mut bytes = Vec::new();
        // A server that refuses a body closes while it is still being sent; the answer came before.
        drop(stream.read_to_end(&mut bytes));
        let text = String::from_utf8(bytes).expect("an answer is UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Opens a stream.
    pub(crate) fn open(&self, line: &str, headers: &str) -> Stream {
        let mut stream = self.connect();
        send(&mut stream, format!("{line} HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n{headers}\r\n").as_bytes());
        Stream { stream, text: String::new() }
    }
}

/// Sends, as far as anybody reads.
pub(crate) fn send(stream: &mut UnixStream, bytes: &[u8]) {
    drop(stream.write_all(bytes));
}

/// An answer that comes bit by bit.
pub(crate) struct Stream {
    stream: UnixStream,
    text: String,
}

impl Stream {
    /// Reads until a text came.
    pub(crate) fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            assert!(self.more(), "`{text}` did not come:\n{}", self.text);
        }
    }

    /// Reads to the end; all that came.
    pub(crate) fn into_text(mut self) -> String {
        while self.more() {}
        self.text
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count =
            self.stream.read(&mut bytes).unwrap_or_else(|error| panic!("the stream hangs: {error}\n{}", self.text));
        self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}

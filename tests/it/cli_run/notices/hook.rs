//! A webhook of somebody else: a real server on loopback that keeps what it was told.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;

/// What it answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Status(u16),
    /// It never answers.
    Nothing,
}

/// What it was told.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    head: Vec<String>,
    body: Vec<u8>,
    pub(super) notice: Value,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> String {
        let of = |line: &String| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        self.head.iter().find_map(of).unwrap_or_default()
    }

    /// As a receiver would check it.
    pub(super) fn is_signed_with(&self, secret: &str) -> bool {
        let header = self.header("x-bascule-signature");
        let Some((time, sum)) = header.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")) else {
            return false;
        };
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
        mac.update(&[time.as_bytes(), b".", &self.body].concat());
        let mut expected = String::new();
        for byte in mac.finalize().into_bytes() {
            write!(expected, "{byte:02x}").expect("a string takes it");
        }
        expected == sum && time.parse::<u64>().is_ok_and(|time| time > 1_700_000_000)
    }
}

type Says = Box<dyn Fn(usize, &Value) -> Answer + Send>;

struct Inner {
    says: Says,
    asked: Vec<Asked>,
    /// Those that wait for ever.
    open: Vec<TcpStream>,
}

/// The server.
pub(super) struct Hook {
    url: String,
    inner: Arc<Mutex<Inner>>,
}

impl Hook {
    /// It answers by how many requests came before.
    pub(super) fn start(says: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        Self::serve(Box::new(move |before, _| says(before)))
    }

    /// It answers by what it is told.
    pub(super) fn with(says: impl Fn(&Value) -> Answer + Send + 'static) -> Self {
        Self::serve(Box::new(move |_, notice| says(notice)))
    }

    fn serve(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/hook?token=x", listener.local_addr().expect("it is bound"));
        let inner = Arc::new(Mutex::new(Inner { says, asked: Vec::new(), open: Vec::new() }));
        let shared = inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                // A client that is killed in the middle is none of its business.
                std::thread::spawn(move || drop(serve(&shared, stream)));
            }
        });
        Self { url, inner }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// From now on it answers so.
    pub(super) fn answers(&self, says: impl Fn(usize) -> Answer + Send + 'static) {
        self.inner().says = Box::new(move |before, _| says(before));
    }

    /// All that it was told, in order.
    pub(super) fn all(&self) -> Vec<Asked> {
        self.inner().asked.clone()
    }

    /// The first notice of an event, once it came.
    pub(super) fn until(&self, event: &str) -> Asked {
        super::until(event, || self.all().into_iter().find(|asked| asked.notice["event"] == event))
    }
}

fn serve(inner: &Mutex<Inner>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push(line);
    }
    let mut body = Vec::new();
    request.take(length).read_to_end(&mut body)?;
    let notice: Value = serde_json::from_slice(&body)?;
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = (inner.says)(inner.asked.len(), &notice);
    inner.asked.push(Asked { head, body, notice });
    match answer {
        Answer::Status(status) => {
            let text = format!("HTTP/1.1 {status} As It Is\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(text.as_bytes())
        }
        Answer::Nothing => {
            inner.open.push(stream);
            Ok(())
        }
    }
}

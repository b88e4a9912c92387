//! One question to one name server: over UDP, over TCP where the answer does not fit, and only an
//! answer to this very question counts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::serialize::binary::DecodeError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

/// An answer of this size passes every usual network unbroken (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnsError {
    /// No answer in time, however often it was asked.
    #[error("no answer within {limit:?}, asked {tries} times")]
    Silence {
        /// For each try.
        limit: Duration,
        /// How often.
        tries: u32,
    },
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Network(#[from] io::Error),
    /// The question cannot be written.
    #[error("the question cannot be sent")]
    Question(#[from] ProtoError),
    /// What came over TCP is no answer.
    #[error("its answer cannot be read")]
    Answer(#[from] DecodeError),
    /// What came over TCP answers something else.
    #[error("it answered another question")]
    Other,
}

/// How often and how long a server is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For each try.
    pub(crate) limit: Duration,
    /// At least 1.
    pub(crate) tries: u32,
}

/// Asks a server.
pub(crate) async fn ask(server: SocketAddr, query: &Query, patience: Patience) -> Result<Message, DnsError> {
    let mut last = DnsError::Silence { limit: patience.limit, tries: patience.tries };
    for _ in 0..patience.tries {
        match try_ask(server, query, patience.limit).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One try; nothing if the time was over.
async fn try_ask(server: SocketAddr, query: &Query, limit: Duration) -> Result<Option<Message>, DnsError> {
    let end = Instant::now() + limit;
    let Some(mut answer) = udp(server, &question(query, true), end).await? else { return Ok(None) };
    if answer.metadata.response_code == ResponseCode::FormErr {
        // An old server may not know the extension that asks for larger answers.
        match udp(server, &question(query, false), end).await? {
            Some(plain) => answer = plain,
            None => return Ok(None),
        }
    }
    if !answer.metadata.truncation {
        return Ok(Some(answer));
    }
    match timeout_at(end, tcp(server, &question(query, true))).await {
        Ok(answer) => answer.map(Some),
        Err(_) => Ok(None),
    }
}

/// A question with an id that nobody can guess.
fn question(query: &Query, extended: bool) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(query.clone());
    if extended {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        message.set_edns(edns);
    }
    message
}

async fn udp(server: SocketAddr, question: &Message, end: Instant) -> Result<Option<Message>, DnsError> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A fresh port for each question; connected, so that only packets from the server arrive.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question.to_vec()?).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = match timeout_at(end, socket.recv(&mut buffer)).await {
            Ok(length) => length?,
            Err(_) => return Ok(None),
        };
        let packet = buffer.get(..length).unwrap_or_default();
        // What does not answer may be forged or late: the answer may still come.
        if let Some(answer) = Message::from_vec(packet).ok().filter(|answer| answers(question, answer)) {
            return Ok(Some(answer));
        }
    }
}

async fn tcp(server: SocketAddr, question: &Message) -> Result<Message, DnsError> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let bytes = question.to_vec()?;
    let length = u16::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let framed = [length.to_be_bytes().as_slice(), &bytes].concat();
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    let answer = Message::from_vec(&packet)?;
    if answers(question, &answer) { Ok(answer) } else { Err(DnsError::Other) }
}

/// Whether it answers this question: its id, kind, and the question itself.
fn answers(question: &Message, answer: &Message) -> bool {
    let (asked, told) = (&question.metadata, &answer.metadata);
    let refused_whole = told.response_code == ResponseCode::FormErr && answer.queries.is_empty();
    told.id == asked.id
        && told.message_type == MessageType::Response
        && told.op_code == OpCode::Query
        && (answer.queries == question.queries || refused_whole)
}

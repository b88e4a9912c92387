//! A name server on loopback, over UDP and TCP on one port, good or bad.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How it answers over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Good,
    /// Says nothing to the first questions.
    DeafTo(u32),
    /// Says that the answer does not fit.
    Truncates,
    /// Sends forgeries before the answer: another id, another question, a question, rubbish.
    Forged,
    /// Answers from another port than it was asked on.
    FromElsewhere,
    /// Does not serve the name.
    Refuses,
    /// Does not know the extension for larger answers.
    Old,
}

/// A name server that ends with this value.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    _end: DropGuard,
}

struct Zone {
    manner: Manner,
    records: Vec<Record>,
    asked: AtomicU32,
}

/// A record of the name `www.example.com`.
pub(crate) fn record(ttl: u32, data: RData) -> Record {
    Record::from_rdata(Name::from_str("www.example.com.").expect("a name"), ttl, data)
}

/// An IPv4 address of it.
pub(crate) fn a(ttl: u32, address: &str) -> Record {
    record(ttl, RData::A(address.parse().expect("an address")))
}

impl NameServer {
    pub(crate) async fn start(manner: Manner, records: Vec<Record>) -> Self {
        let (udp, tcp) = both().await;
        let address = udp.local_addr().expect("an address");
        let zone = Arc::new(Zone { manner, records, asked: AtomicU32::new(0) });
        let end = CancellationToken::new();
        let stop = end.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = zone.serve_udp(&udp) => {}
                () = zone.serve_tcp(&tcp) => {}
                () = stop.cancelled() => {}
            }
        });
        Self { address, _end: end.drop_guard() }
    }
}

/// A port that is free for both.
async fn both() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for UDP and TCP");
}

impl Zone {
    fn answer(&self, question: &Message) -> Message {
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.add_queries(question.queries.clone());
        answer.metadata.authoritative = true;
        let query = question.queries.first().expect("one question");
        let here = self.records.iter().any(|record| &record.name == query.name());
        if !here {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return answer;
        }
        // A chain of names is told whole, as servers do.
        let chain = self.records.iter().any(|record| record.record_type() == query.query_type());
        answer.add_answers(
            self.records
                .iter()
                .filter(|record| {
                    record.record_type() == query.query_type() || (chain && matches!(record.data, RData::CNAME(_)))
                })
                .cloned(),
        );
        answer
    }

    async fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("a packet");
            let question = Message::from_vec(&buffer[..length]).expect("a question");
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            let good = self.answer(&question);
            let (mut packets, mut elsewhere) = (Vec::new(), None);
            match self.manner {
                Manner::Good => packets.push(good),
                Manner::DeafTo(first) if asked < first => {}
                Manner::DeafTo(_) => packets.push(good),
                Manner::Truncates => packets.push(good.truncate()),
                Manner::Refuses => {
                    let mut refusal = good;
                    refusal.answers.clear();
                    refusal.metadata.response_code = ResponseCode::Refused;
                    packets.push(refusal);
                }
                Manner::Old if question.edns.is_some() => {
                    let id = question.metadata.id;
                    packets.push(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr));
                }
                Manner::Old => packets.push(good),
                Manner::FromElsewhere => {
                    elsewhere = Some(UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
                    packets.push(good);
                }
                Manner::Forged => {
                    socket.send_to(b"rubbish", from).await.expect("it can be sent");
                    packets.extend(forgeries(&question, &good));
                    packets.push(good);
                }
            }
            for packet in packets {
                let bytes = packet.to_vec().expect("it can be written");
                elsewhere.as_ref().unwrap_or(socket).send_to(&bytes, from).await.expect("it can be sent");
            }
        }
    }

    async fn serve_tcp(&self, listener: &TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            // A client may go away at any time; the next one is served all the same.
            self.answer_tcp(stream).await.ok();
        }
    }

    async fn answer_tcp(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut packet = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut packet).await?;
        let answer = self.answer(&Message::from_vec(&packet).expect("a question")).to_vec().expect("it can be written");
        stream.write_u16(u16::try_from(answer.len()).expect("it fits")).await?;
        stream.write_all(&answer).await
    }
}

fn forgeries(question: &Message, good: &Message) -> [Message; 3] {
    let forged = || {
        let mut forged = good.clone();
        forged.answers = vec![a(1, "6.6.6.6")];
        forged
    };
    let (mut id, mut other, mut no_answer) = (forged(), forged(), forged());
    id.metadata.id = question.metadata.id.wrapping_add(1);
    other.queries[0].set_name(Name::from_str("other.example.com.").expect("a name"));
    no_answer.metadata.message_type = hickory_proto::op::MessageType::Query;
    [id, other, no_answer]
}

//! The platform's side of a running machine: boots the process, talks to its guest agent, notices its end.
//!
//! One task owns the process and its channel; a machine whose task has ended is off. Start with [`Guest::boot`].

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::program::Program;
use crate::refusal::Refusal;
use crate::vm::{GuestCall, GuestSays, Hardware};

/// A machine boots in milliseconds; one whose disk is still held by its predecessor waits for it.
const BOOT_LIMIT: Duration = Duration::from_secs(20);
/// How long the guest agent may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long a machine may take to switch off before its plug is pulled.
const OFF_LIMIT: Duration = Duration::from_secs(3);

type Call = (GuestCall, oneshot::Sender<GuestSays>);

/// A powered-on machine.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    /// Where the application listens.
    pub address: SocketAddr,
    pub pid: u32,
    calls: mpsc::Sender<Call>,
    off: CancellationToken,
    gone: CancellationToken,
}

impl Guest {
    /// Starts the process and waits until it has booted or says why it cannot.
    pub(crate) async fn boot(program: &Program, hardware: &Hardware) -> Result<Self, Refusal> {
        let failed = |error: &dyn std::error::Error| Refusal::broken("the machine's process cannot be started", error);
        let mut child = program.command("vm").spawn().map_err(|error| failed(&error))?;
        let pid = child.id().unwrap_or_default();
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&std::io::Error::other("it has no channel")));
        };
        let mut channel = Channel { stdin, lines: BufReader::new(stdout).lines() };
        let says = match tokio::time::timeout(BOOT_LIMIT, channel.ask(hardware)).await {
            Ok(says) => says,
            Err(_late) => Err(std::io::Error::other("it did not boot in time")),
        };
        match says {
            Ok(GuestSays::Ready { address }) => {
                let (calls, inbox) = mpsc::channel(16);
                let (off, gone) = (CancellationToken::new(), CancellationToken::new());
                tokio::spawn(keep(child, channel, inbox, off.clone(), gone.clone()));
                Ok(Self { address, pid, calls, off, gone })
            }
            Ok(GuestSays::NoBoot { code, message, hint }) => {
                end(child, channel).await;
                Err(Refusal::conflict(known_code(&code), format!("{} does not boot: {message}", hardware.name), hint))
            }
            Ok(other @ (GuestSays::Done | GuestSays::Failed(_))) => {
                end(child, channel).await;
                Err(failed(&std::io::Error::other(format!("its first word was {other:?}"))))
            }
            Err(error) => {
                end(child, channel).await;
                Err(failed(&error))
            }
        }
    }

    /// Asks the guest agent.
    pub(crate) async fn ask(&self, call: GuestCall) -> Result<(), Refusal> {
        let silent =
            || Refusal::unavailable("guest_silent", "the guest agent does not answer", "is the machine still on?");
        let (reply, answer) = oneshot::channel();
        self.calls.send((call, reply)).await.map_err(|_| silent())?;
        match tokio::time::timeout(ANSWER_LIMIT, answer).await {
            Ok(Ok(GuestSays::Done)) => Ok(()),
            Ok(Ok(GuestSays::Failed(message))) => {
                Err(Refusal::conflict("guest_failed", message, "see the machine's disk and state"))
            }
            Ok(Ok(GuestSays::Ready { .. } | GuestSays::NoBoot { .. }) | Err(_)) | Err(_) => Err(silent()),
        }
    }

    /// Switches the machine off; returns when its process is gone.
    pub(crate) async fn power_off(&self) {
        self.off.cancel();
        self.gone.cancelled().await;
    }

    /// Resolves when the process is gone, for whatever reason.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

fn known_code(code: &str) -> &'static str {
    const CODES: [&str; 5] =
        ["wrong_disk_format", "driver_missing", "no_bootable_disk", "disk_unreadable", "no_network"];
    CODES.into_iter().find(|known| *known == code).unwrap_or("boot_failed")
}

#[derive(Debug)]
struct Channel {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Channel {
    async fn ask(&mut self, question: &impl Serialize) -> std::io::Result<GuestSays> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        self.stdin.write_all(&line).await?;
        self.stdin.flush().await?;
        let answer =
            self.lines.next_line().await?.ok_or_else(|| std::io::Error::other("the machine's process ended"))?;
        Ok(serde_json::from_str(&answer)?)
    }
}

async fn keep(
    child: Child,
    mut channel: Channel,
    mut inbox: mpsc::Receiver<Call>,
    off: CancellationToken,
    gone: CancellationToken,
) {
    loop {
        tokio::select! {
            () = off.cancelled() => break,
            // It never speaks first: a line or an end here means that it is ending.
            _line = channel.lines.next_line() => break,
            call = inbox.recv() => {
                let Some((call, reply)) = call else { break };
                let Ok(Ok(says)) = tokio::time::timeout(ANSWER_LIMIT, channel.ask(&call)).await else { break };
                // Whoever asked may have given up.
                drop(reply.send(says));
            }
        }
    }
    end(child, channel).await;
    gone.cancel();
}

/// Closes the lifeline, waits, and pulls the plug if need be.
async fn end(mut child: Child, channel: Channel) {
    drop(channel);
    if tokio::time::timeout(OFF_LIMIT, child.wait()).await.is_err() {
        // It may have ended in this very moment.
        drop(child.kill().await);
    }
}

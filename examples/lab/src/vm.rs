//! A powered-on machine: a process of its own that boots from a disk image and serves the application.
//!
//! Its standard input is its lifeline and its guest agent's channel: one JSON request per line, one JSON answer per line
//! on standard output. When the channel closes, the lab has switched the machine off or is dead: the machine ends. It
//! never outlives its lab and never changes anything but its own disk. Start with [`run_vm`].

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::{self, App};
use crate::disk::{self, Format, Image};
use crate::faults::{Board, Fault};
use crate::lifeline;
use crate::orders::{Mode, OrderLog};
use crate::window::{Side, Window};
use crate::wire::Door;

/// What a machine is made of: the first line on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hardware {
    pub name: String,
    pub side: Side,
    pub uuid: String,
    pub application: String,
    pub disk: PathBuf,
    /// The layout that this platform boots from.
    pub format: Format,
    /// The driver without which the disk is not found.
    pub driver: String,
    pub mode: Mode,
    pub faults: Vec<Fault>,
}

/// A request to the guest agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum GuestCall {
    /// From now on these faults are active.
    Faults(Vec<Fault>),
    /// Starts or stops the application's writes.
    Switch(Mode),
}

/// What the guest agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum GuestSays {
    /// Booted; the application listens.
    Ready { address: SocketAddr },
    /// Did not boot: why, and what to do.
    NoBoot { code: String, message: String, hint: String },
    /// Done as asked.
    Done,
    /// Not done: why.
    Failed(String),
}

/// Runs a machine until its lifeline closes. The exit code is 1 if it did not boot.
pub async fn run_vm() -> ExitCode {
    let mut channel = lifeline::lines();
    let Some(line) = channel.recv().await else { return ExitCode::SUCCESS };
    let booted = match serde_json::from_str::<Hardware>(&line) {
        Ok(hardware) => boot(hardware).await,
        Err(error) => {
            Err(no_boot("no_hardware", format!("the description of the hardware is unreadable: {error}"), ""))
        }
    };
    let (log, faults, door, app) = match booted {
        Ok(booted) => booted,
        Err(says) => {
            drop(say(&says));
            return ExitCode::FAILURE;
        }
    };
    if say(&GuestSays::Ready { address: door.address() }).is_err() {
        return ExitCode::FAILURE;
    }
    let stop = CancellationToken::new();
    let serving = tokio::spawn(door.serve(app::router(app), stop.clone()));
    while let Some(line) = channel.recv().await {
        let says = match serde_json::from_str(&line) {
            Ok(GuestCall::Faults(list)) => {
                faults.replace(list);
                GuestSays::Done
            }
            Ok(GuestCall::Switch(mode)) => log.switch(mode).await.map_or_else(GuestSays::Failed, |()| GuestSays::Done),
            Err(error) => GuestSays::Failed(format!("the guest agent does not understand: {error}")),
        };
        if say(&says).is_err() {
            break;
        }
    }
    stop.cancel();
    // What was acknowledged is on disk already; the rest was never promised.
    drop(serving.await);
    ExitCode::SUCCESS
}

type Booted = (OrderLog, Arc<Board>, Door, Arc<App>);

async fn boot(hardware: Hardware) -> Result<Booted, GuestSays> {
    let faults = Arc::new(Board::new());
    faults.replace(hardware.faults.clone());
    let (board, machine) = (Arc::clone(&faults), hardware.clone());
    let opened = tokio::task::spawn_blocking(move || -> Result<(OrderLog, Image), GuestSays> {
        bootable(&machine)?;
        OrderLog::open(&machine.disk, machine.mode, board)
            .map_err(|error| no_boot("disk_unreadable", error.to_string(), "restore the image from a backup"))
    });
    let (log, image) = opened.await.map_err(|error| no_boot("boot_failed", error.to_string(), "see lab.log"))??;
    let window = Arc::new(Window::default());
    let door = Door::open("vm", 0, Arc::clone(&faults))
        .map_err(|error| no_boot("no_network", format!("cannot listen on loopback: {error}"), ""))?
        .timed(Arc::clone(&window));
    let app = App {
        application: hardware.application,
        vm: hardware.name,
        side: hardware.side,
        uuid: hardware.uuid,
        disk_uuid: image.header.uuid,
        log: log.clone(),
        faults: Arc::clone(&faults),
        window,
    };
    Ok((log, faults, door, Arc::new(app)))
}

/// The firmware's view: is this a disk of mine, and will the kernel on it find its disk?
fn bootable(machine: &Hardware) -> Result<(), GuestSays> {
    let header = disk::read_header(&machine.disk)
        .map_err(|error| no_boot("no_bootable_disk", error.to_string(), "attach a disk image of this machine"))?;
    if header.format != machine.format {
        let message = format!(
            "{} is {}, and this platform boots from {}",
            machine.disk.display(),
            header.format.as_str(),
            machine.format.as_str()
        );
        return Err(no_boot("wrong_disk_format", message, "convert the image first"));
    }
    if !header.drivers.contains(&machine.driver) {
        let message = format!(
            "the guest on {} has the drivers {:?} and needs {}: its kernel finds no disk",
            machine.disk.display(),
            header.drivers,
            machine.driver
        );
        return Err(no_boot("driver_missing", message, "convert the image with drivers: inject"));
    }
    Ok(())
}

fn no_boot(code: &str, message: impl Into<String>, hint: &str) -> GuestSays {
    GuestSays::NoBoot { code: code.to_owned(), message: message.into(), hint: hint.to_owned() }
}

/// One line, at once: the lab waits for it.
fn say(says: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(says)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush())
}

//! One platform: its machines, their disks and power, and what is kept of them between two lives of the lab.
//!
//! Routes are in `platform_api`, copies of data in `storage`. State changes only under the desk's gate of the machine;
//! the lock on the list is held for a moment, never across a wait. Start with [`Platform`].

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

use crate::disk::{self, Header};
use crate::guest::Guest;
use crate::ledger::{Deed, EntryKind};
use crate::machine::{Kind, Machine, Peer};
use crate::once::Desk;
use crate::orders::Mode;
use crate::program::Program;
use crate::refusal::Refusal;
use crate::vm::{GuestCall, Hardware};
use crate::window::Side;

/// One of the two platforms.
pub(crate) struct Platform {
    pub side: Side,
    pub kind: Kind,
    pub application: String,
    /// Its datastore.
    pub dir: PathBuf,
    pub desk: Arc<Desk>,
    pub client: reqwest::Client,
    pub peers: OnceLock<Vec<Peer>>,
    program: Program,
    machines: Mutex<BTreeMap<String, Machine>>,
    guests: Mutex<HashMap<String, Guest>>,
}

impl Platform {
    /// Opens the platform's folder in `dir` with the machines that it had.
    pub(crate) fn open(
        side: Side,
        dir: &Path,
        application: &str,
        desk: Arc<Desk>,
        program: Program,
    ) -> std::io::Result<Self> {
        let dir = dir.join(side.as_str());
        for folder in ["staging", "images", "aside", "snapshots"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        let machines = match std::fs::read(dir.join("machines.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            side,
            kind: Kind::of(side),
            application: application.to_owned(),
            dir,
            desk,
            client: crate::http::client(std::time::Duration::from_secs(30)).map_err(std::io::Error::other)?,
            peers: OnceLock::new(),
            program,
            machines: Mutex::new(machines),
            guests: Mutex::new(HashMap::new()),
        })
    }

    /// Boots the machines that were on.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), Refusal> {
        let names: Vec<String> =
            self.with(|all| all.values().filter(|one| one.on).map(|one| one.name.clone()).collect());
        for name in names {
            self.boot(&name).await?;
        }
        Ok(())
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Machine>) -> T) -> T {
        look(&mut self.machines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unknown(&self, name: &str) -> Refusal {
        let names: Vec<String> = self.with(|all| all.keys().cloned().collect());
        let message = format!("no machine `{name}` on {}", self.side.as_str());
        Refusal::missing("no_such_vm", message, format!("there are: {}", names.join(", ")))
    }

    /// A copy of what the books say of a machine.
    pub(crate) fn machine(&self, name: &str) -> Result<Machine, Refusal> {
        self.with(|all| all.get(name).cloned()).ok_or_else(|| self.unknown(name))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|all| all.keys().cloned().collect())
    }

    /// Changes the books and writes them down.
    pub(crate) fn change<T>(&self, name: &str, work: impl FnOnce(&mut Machine) -> T) -> Result<T, Refusal> {
        let done = self.with(|all| {
            let done = work(all.get_mut(name)?);
            Some(self.save(all).map(|()| done))
        });
        done.ok_or_else(|| self.unknown(name))?
            .map_err(|error| Refusal::broken("cannot write the platform's books", &error))
    }

    /// Adds a machine; `false` if it is there.
    pub(crate) fn add(&self, machine: Machine) -> Result<bool, Refusal> {
        self.with(|all| {
            if all.contains_key(&machine.name) {
                return Ok(false);
            }
            all.insert(machine.name.clone(), machine);
            self.save(all).map(|()| true)
        })
        .map_err(|error| Refusal::broken("cannot write the platform's books", &error))
    }

    /// Takes a machine out of the books; `false` if it is not there.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, Refusal> {
        self.with(|all| {
            let was = all.remove(name).is_some();
            self.save(all).map(|()| was)
        })
        .map_err(|error| Refusal::broken("cannot write the platform's books", &error))
    }

    fn save(&self, all: &BTreeMap<String, Machine>) -> std::io::Result<()> {
        write_whole(&self.dir.join("machines.json"), &serde_json::to_vec_pretty(all)?)
    }

    /// The running process of a machine, if it is on.
    pub(crate) fn guest(&self, name: &str) -> Option<Guest> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Where the application of a machine listens, if it is on.
    pub(crate) fn address(&self, name: &str) -> Option<SocketAddr> {
        self.guest(name).map(|guest| guest.address)
    }

    /// Starts the machine's process.
    pub(crate) async fn boot(self: &Arc<Self>, name: &str) -> Result<Guest, Refusal> {
        let machine = self.machine(name)?;
        let disk = machine.disk.clone().ok_or_else(|| {
            Refusal::conflict(
                "no_disk",
                format!("{name} has no disk to boot from"),
                "attach one with POST /vms/{vm}/attach",
            )
        })?;
        let faults = self.desk.faults.list().into_iter().filter(|one| one.is_for_machine(self.side.as_str(), name));
        let hardware = Hardware {
            name: name.to_owned(),
            side: self.side,
            uuid: machine.uuid,
            application: self.application.clone(),
            disk,
            format: self.kind.format,
            driver: self.kind.driver.to_owned(),
            mode: machine.mode,
            faults: faults.collect(),
        };
        let guest = Guest::boot(&self.program, &hardware).await?;
        self.guests.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), guest.clone());
        self.change(name, |machine| machine.on = true)?;
        let (platform, watched, name) = (Arc::clone(self), guest.clone(), name.to_owned());
        tokio::spawn(async move {
            watched.gone().await;
            platform.forget(&name, watched.pid);
        });
        Ok(guest)
    }

    /// A machine's process ended. Switching it off takes it out of the list first; then there is nothing to note.
    fn forget(&self, name: &str, pid: u32) {
        let died = {
            let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
            guests.get(name).is_some_and(|guest| guest.pid == pid) && guests.remove(name).is_some()
        };
        if died {
            let deed =
                Deed { platform: self.side.as_str(), action: "vm_died", vm: name.to_owned(), key: None, attempt: None };
            // The books and the ledger are for people here; the machine is off whether or not they can be written.
            drop(self.change(name, |machine| machine.on = false));
            drop(self.desk.ledger.append(EntryKind::Background, &deed, json!({ "vmPid": pid })));
        }
    }

    /// Ends the machine's process; `false` if it was off.
    pub(crate) async fn power_off(&self, name: &str) -> Result<bool, Refusal> {
        let guest = self.guests.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.change(name, |machine| machine.on = false)?;
        let Some(guest) = guest else { return Ok(false) };
        guest.power_off().await;
        Ok(true)
    }

    /// Switches all processes off without changing the books, so that the next life of the lab boots them again.
    pub(crate) async fn shut_down(&self) {
        let guests: Vec<Guest> =
            self.guests.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, guest)| guest).collect();
        for guest in guests {
            guest.power_off().await;
        }
    }

    /// Starts or stops the application's writes, now and at the next boot; `false` if it was so.
    pub(crate) async fn switch(&self, name: &str, change: impl Fn(&mut Mode)) -> Result<bool, Refusal> {
        let before = self.machine(name)?.mode;
        let mut mode = before;
        change(&mut mode);
        if mode == before {
            return Ok(false);
        }
        if let Some(guest) = self.guest(name) {
            guest.ask(GuestCall::Switch(mode)).await?;
        }
        self.change(name, |machine| machine.mode = mode)?;
        Ok(true)
    }

    /// Tells the running machines which faults are active.
    pub(crate) async fn push_faults(&self) -> Result<(), Refusal> {
        let all = self.desk.faults.list();
        for name in self.names() {
            if let Some(guest) = self.guest(&name) {
                let own = all.iter().filter(|one| one.is_for_machine(self.side.as_str(), &name)).cloned().collect();
                guest.ask(GuestCall::Faults(own)).await?;
            }
        }
        Ok(())
    }

    /// What the platform shows of a machine.
    pub(crate) fn view(&self, name: &str) -> Result<Value, Refusal> {
        let machine = self.machine(name)?;
        let guest = self.guest(name);
        let disk = machine.disk.as_ref().map(|path| {
            let header = disk::read_header(path).ok();
            let bytes = std::fs::metadata(path).ok().map(|data| data.len());
            json!({
                "path": path, "present": header.is_some(), "bytes": bytes,
                "format": header.as_ref().map(|one| one.format), "uuid": header.map(|one| one.uuid),
            })
        });
        let status = if guest.is_some() { machine.mode.as_str() } else { "off" };
        let writable = guest.is_some() && machine.mode.is_writable();
        Ok(json!({
            "name": machine.name, "uuid": machine.uuid, "platform": self.side,
            "power": if guest.is_some() { "on" } else { "off" }, "status": status, "writable": writable,
            "quiesced": machine.mode.quiesced, "fenced": machine.mode.fenced, "disk": disk,
            "storageProfile": machine.storage_profile,
            "address": guest.as_ref().map(|guest| guest.address.to_string()), "pid": guest.map(|guest| guest.pid),
            "snapshots": machine.snapshots,
            "staging": found(&self.staging(name)), "image": found(&self.image(name)),
        }))
    }

    /// Where copies from the other platform arrive.
    pub(crate) fn staging(&self, name: &str) -> PathBuf {
        self.dir.join("staging").join(format!("{name}.vmdk"))
    }

    /// Where converted images lie.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.dir.join("images").join(format!("{name}.{}", self.kind.format.as_str()))
    }

    /// The header of a new disk of this platform.
    pub(crate) fn header(&self, vm: &str, uuid: String) -> Header {
        Header {
            format: self.kind.format,
            uuid,
            vm: vm.to_owned(),
            drivers: vec![self.kind.driver.to_owned()],
            guest_tools: self.kind.tools.to_owned(),
        }
    }
}

fn found(path: &Path) -> Option<&Path> {
    path.exists().then_some(path)
}

/// Replaces a small file: readers see the old or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, path)
}

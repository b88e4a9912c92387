//! What a platform does when it is told to: power, disks, the application in the guest, copies of data.
//!
//! Every deed goes through the desk: one at a time per machine, once per key, a line in the ledger. Each is repeatable;
//! one that finds everything as it should be is a no-op. Start with [`power_on`].

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::clock::now_ms;
use crate::disk;
use crate::machine::{Machine, Snapshot, new_uuid};
use crate::once::{Call, Caller, Done};
use crate::platform::Platform;
use crate::platform_api::Here;
use crate::refusal::Refusal;
use crate::storage::{self, AsideAsk, ConvertAsk, ReverseAsk, SyncAsk, off_loop};

type Answer = Result<Json<Value>, Refusal>;

/// Puts a deed on a machine through the desk.
async fn deed<W, F>(platform: &Arc<Platform>, call: Call, work: W) -> Answer
where
    W: FnOnce(Arc<Platform>, String) -> F,
    F: Future<Output = Result<Done, Refusal>> + Send + 'static,
{
    let work = work(Arc::clone(platform), call.deed.vm.clone());
    platform.desk.perform(call, work).await
}

fn call(platform: &Platform, action: &'static str, vm: &str, caller: Caller) -> Call {
    Call::new(platform.side.as_str(), action, vm, caller)
}

/// Who is meant: a request that names an identity is refused by any other machine of that name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WhoAsk {
    uuid: Option<String>,
}

fn is_meant(platform: &Platform, vm: &str, uuid: Option<&str>) -> Result<(), Refusal> {
    let machine = platform.machine(vm)?;
    if uuid.is_none_or(|uuid| uuid == machine.uuid) {
        return Ok(());
    }
    let message = format!("{vm} on {} is {}, not {}", platform.side.as_str(), machine.uuid, uuid.unwrap_or_default());
    Err(conflict("wrong_identity", message, "nothing was done; check which system the address leads to"))
}

fn conflict(code: &'static str, message: String, hint: &str) -> Refusal {
    Refusal::conflict(code, message, hint)
}

/// Starts the machine; answers when the application listens.
pub(crate) async fn power_on(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(who): Asked<WhoAsk>,
) -> Answer {
    deed(&here, call(&here, "power_on", &vm, caller).body(&who), |platform, vm| async move {
        is_meant(&platform, &vm, who.uuid.as_deref())?;
        let running = platform.guest(&vm);
        let was_on = running.is_some();
        let guest = match running {
            Some(guest) => guest,
            None => platform.boot(&vm).await?,
        };
        let uuid = platform.machine(&vm)?.uuid;
        let detail = json!({ "uuid": uuid, "vmPid": guest.pid, "address": guest.address.to_string() });
        Ok(if was_on { Done::noop(detail) } else { Done::effect(detail) })
    })
    .await
}

pub(crate) async fn power_off(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(who): Asked<WhoAsk>,
) -> Answer {
    deed(&here, call(&here, "power_off", &vm, caller).body(&who), |platform, vm| async move {
        is_meant(&platform, &vm, who.uuid.as_deref())?;
        let changed = platform.power_off(&vm).await?;
        Ok(Done { changed, detail: json!({ "power": "off" }) })
    })
    .await
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateAsk {
    name: String,
    uuid: Option<String>,
}

pub(crate) async fn create(State(here): Here, caller: Caller, Asked(ask): Asked<CreateAsk>) -> Answer {
    let name = ask.name.clone();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 80 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Refusal::bad("bad_name", format!("`{name}` is no machine name"), "letters, digits, - _ and ."));
    }
    let call = call(&here, "create_vm", &name, caller).body(&ask);
    deed(&here, call, |platform, vm| async move {
        let changed = platform.add(Machine::new(&vm, ask.uuid.unwrap_or_else(new_uuid)))?;
        Ok(Done { changed, detail: json!({ "uuid": platform.machine(&vm)?.uuid }) })
    })
    .await
}

pub(crate) async fn delete(State(here): Here, Path(vm): Path<String>, caller: Caller) -> Answer {
    deed(&here, call(&here, "delete_vm", &vm, caller), |platform, vm| async move {
        let Ok(machine) = platform.machine(&vm) else { return Ok(Done::noop(json!({}))) };
        if platform.guest(&vm).is_some() || machine.disk.is_some() {
            return Err(conflict("vm_in_use", format!("{vm} is on or has a disk"), "power it off and detach its disk"));
        }
        platform.remove(&vm)?;
        Ok(Done::effect(json!({})))
    })
    .await
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AttachAsk {
    /// The storage profile for the disk.
    profile: String,
    /// An image of this platform; the converted one of the machine if absent.
    image: Option<PathBuf>,
}

/// Attaches an image with a storage profile.
pub(crate) async fn attach(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(ask): Asked<AttachAsk>,
) -> Answer {
    let call = call(&here, "attach", &vm, caller).body(&ask);
    deed(&here, call, |platform, vm| async move {
        if !platform.kind.profiles.contains(&ask.profile.as_str()) {
            let message = format!("no storage profile `{}` on {}", ask.profile, platform.side.as_str());
            return Err(Refusal::bad("no_such_profile", message, format!("there are: {:?}", platform.kind.profiles)));
        }
        let image = ask.image.unwrap_or_else(|| platform.image(&vm));
        if !image.starts_with(&platform.dir) {
            return Err(Refusal::bad(
                "not_ours",
                format!("{} is not on this platform", image.display()),
                "name an image of it",
            ));
        }
        let path = image.clone();
        let header = off_loop(move || disk::read_header(&path)).await?;
        let detail = json!({ "disk": image, "profile": ask.profile, "diskUuid": header.uuid });
        let before = platform.machine(&vm)?;
        if before.disk.as_ref() == Some(&image) && before.storage_profile.as_deref() == Some(&ask.profile) {
            return Ok(Done::noop(detail));
        }
        if platform.guest(&vm).is_some() {
            return Err(conflict("vm_on", format!("{vm} is on: its disk cannot be changed"), "power it off"));
        }
        if let Some(other) = before.disk.filter(|disk| *disk != image) {
            let message = format!("{vm} has the disk {} already", other.display());
            return Err(conflict("disk_attached", message, "detach it first"));
        }
        platform.change(&vm, |machine| {
            machine.disk = Some(image);
            machine.storage_profile = Some(ask.profile);
        })?;
        Ok(Done::effect(detail))
    })
    .await
}

/// Detaches the disk. A fence belongs to what was written on that disk and goes with it.
pub(crate) async fn detach(State(here): Here, Path(vm): Path<String>, caller: Caller) -> Answer {
    deed(&here, call(&here, "detach", &vm, caller), |platform, vm| async move {
        if platform.machine(&vm)?.disk.is_none() {
            return Ok(Done::noop(json!({ "disk": null })));
        }
        if platform.guest(&vm).is_some() {
            return Err(conflict("vm_on", format!("{vm} is on: its disk cannot be detached"), "power it off"));
        }
        let was = platform.change(&vm, |machine| {
            machine.storage_profile = None;
            machine.mode.fenced = false;
            machine.disk.take()
        })?;
        Ok(Done::effect(json!({ "disk": null, "was": was })))
    })
    .await
}

/// Stops the application's writes in an orderly way.
pub(crate) async fn quiesce(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(who): Asked<WhoAsk>,
) -> Answer {
    deed(&here, call(&here, "quiesce", &vm, caller).body(&who), |platform, vm| async move {
        is_meant(&platform, &vm, who.uuid.as_deref())?;
        let changed = platform.switch(&vm, |mode| mode.quiesced = true).await?;
        Ok(Done { changed, detail: json!({ "uuid": platform.machine(&vm)?.uuid, "status": "quiesced" }) })
    })
    .await
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UnquiesceAsk {
    /// Whether a machine that is off is started; refused if it is off and this is not said.
    #[serde(default)]
    power_on: bool,
    uuid: Option<String>,
}

/// Lets the application write again.
pub(crate) async fn unquiesce(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(ask): Asked<UnquiesceAsk>,
) -> Answer {
    let call = call(&here, "unquiesce", &vm, caller).body(&ask);
    deed(&here, call, |platform, vm| async move {
        is_meant(&platform, &vm, ask.uuid.as_deref())?;
        if platform.guest(&vm).is_none() && !ask.power_on {
            return Err(conflict("vm_off", format!("{vm} is off: its application cannot start"), "say powerOn: true"));
        }
        let mut changed = platform.switch(&vm, |mode| mode.quiesced = false).await?;
        if platform.guest(&vm).is_none() {
            platform.boot(&vm).await?;
            changed = true;
        }
        Ok(Done {
            changed,
            detail: json!({ "uuid": platform.machine(&vm)?.uuid, "status": platform.machine(&vm)?.mode.as_str() }),
        })
    })
    .await
}

/// Forbids writes from outside, whether the machine is on or off.
pub(crate) async fn fence(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(who): Asked<WhoAsk>,
) -> Answer {
    deed(&here, call(&here, "fence", &vm, caller).body(&who), |platform, vm| async move {
        is_meant(&platform, &vm, who.uuid.as_deref())?;
        let changed = platform.switch(&vm, |mode| mode.fenced = true).await?;
        Ok(Done { changed, detail: json!({ "uuid": platform.machine(&vm)?.uuid, "fenced": true }) })
    })
    .await
}

pub(crate) async fn unfence(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(who): Asked<WhoAsk>,
) -> Answer {
    deed(&here, call(&here, "unfence", &vm, caller).body(&who), |platform, vm| async move {
        is_meant(&platform, &vm, who.uuid.as_deref())?;
        let changed = platform.switch(&vm, |mode| mode.fenced = false).await?;
        Ok(Done { changed, detail: json!({ "uuid": platform.machine(&vm)?.uuid, "fenced": false }) })
    })
    .await
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SnapshotAsk {
    name: String,
}

/// Copies the disk as it is now.
pub(crate) async fn snapshot(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(ask): Asked<SnapshotAsk>,
) -> Answer {
    let call = call(&here, "create_snapshot", &vm, caller).body(&ask);
    deed(&here, call, |platform, vm| async move { take_snapshot(&platform, &vm, &ask.name).await }).await
}

/// Takes a snapshot unless there is one of that name.
pub(crate) async fn take_snapshot(platform: &Platform, vm: &str, name: &str) -> Result<Done, Refusal> {
    let machine = platform.machine(vm)?;
    if machine.snapshots.iter().any(|one| one.name == name) {
        return Ok(Done::noop(json!({ "snapshot": name })));
    }
    let from = machine.disk.ok_or_else(|| conflict("no_disk", format!("{vm} has no disk"), "attach one"))?;
    let path = platform.dir.join("snapshots").join(format!("{vm}-{}.img", now_ms()));
    let to = path.clone();
    let records = off_loop(move || {
        let image = disk::read(&from)?;
        disk::create(&to, &image.header, image.orders.iter().map(|order| order.raw.as_str()))?;
        Ok(image.orders.len())
    })
    .await?;
    let snapshot = Snapshot { name: name.to_owned(), at: now_ms(), path: path.clone() };
    platform.change(vm, |machine| machine.snapshots.push(snapshot))?;
    Ok(Done::effect(json!({ "snapshot": name, "path": path, "records": records })))
}

pub(crate) async fn drop_snapshot(
    State(here): Here,
    Path((vm, name)): Path<(String, String)>,
    caller: Caller,
) -> Answer {
    let call = call(&here, "delete_snapshot", &vm, caller).body(&name);
    deed(&here, call, |platform, vm| async move {
        let gone = platform.change(&vm, |machine| {
            let at = machine.snapshots.iter().position(|one| one.name == name)?;
            Some(machine.snapshots.remove(at))
        })?;
        let Some(gone) = gone else { return Ok(Done::noop(json!({ "snapshot": name }))) };
        std::fs::remove_file(&gone.path).map_err(|error| Refusal::broken("cannot delete a snapshot", &error))?;
        Ok(Done::effect(json!({ "snapshot": name })))
    })
    .await
}

pub(crate) async fn sync(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(ask): Asked<SyncAsk>,
) -> Answer {
    let call = call(&here, "sync", &vm, caller).body(&ask);
    deed(&here, call, |platform, vm| storage::sync(platform, vm, ask)).await
}

pub(crate) async fn convert(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(ask): Asked<ConvertAsk>,
) -> Answer {
    let call = call(&here, "convert", &vm, caller).body(&ask);
    deed(&here, call, |platform, vm| storage::convert(platform, vm, ask)).await
}

pub(crate) async fn reverse_sync(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(ask): Asked<ReverseAsk>,
) -> Answer {
    let call = call(&here, "reverse_sync", &vm, caller).body(&ask);
    deed(&here, call, |platform, vm| storage::reverse_sync(platform, vm, ask)).await
}

pub(crate) async fn move_aside(
    State(here): Here,
    Path(vm): Path<String>,
    caller: Caller,
    Asked(ask): Asked<AsideAsk>,
) -> Answer {
    let call = call(&here, "move_aside", &vm, caller).body(&ask);
    deed(&here, call, |platform, vm| async move { storage::move_aside(&platform, &vm, &ask) }).await
}

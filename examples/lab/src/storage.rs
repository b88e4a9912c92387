//! Copies of data between the platforms: final sync, conversion, the reverse sync of a rollback, moving aside.
//!
//! A copy first asks who is at the other end. Data is never overwritten by older data and never deleted unless asked;
//! what is in the way is moved aside. Start with [`sync`] and [`reverse_sync`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::disk::{self, DiskError, Header, Image, Writer};
use crate::faults::FaultKind;
use crate::http::{get_json, is_inside};
use crate::once::Done;
use crate::platform::Platform;
use crate::refusal::Refusal;

/// Most bytes in one answer of the export.
pub(crate) const CHUNK: usize = 4 * 1024 * 1024;

/// A disk that cannot be used is a conflict: the caller can do something about it.
pub(crate) fn unusable(error: &DiskError) -> Refusal {
    let code = if error.is_absent() { "no_such_image" } else { "disk_unusable" };
    Refusal::conflict(code, error.to_string(), "see GET /vms/{vm} for what is there")
}

/// Runs file work where it may block.
pub(crate) async fn off_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiskError> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Refusal::broken("file work ended early", &error))?.map_err(|error| unusable(&error))
}

/// `POST /vms/{vm}/sync`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SyncAsk {
    /// The other platform's API.
    pub source: String,
    /// The machine there; the same name if absent.
    pub source_vm: Option<String>,
    /// Its identity, if known.
    pub source_uuid: Option<String>,
    /// The last copy: refused while the source still takes writes, and verified at the end.
    #[serde(default, rename = "final")]
    pub last: bool,
}

fn wrong_identity(what: &str, found: &Value, expected: &str) -> Refusal {
    let message = format!("{what} is {found}, not {expected}");
    Refusal::conflict("wrong_identity", message, "nothing was copied; check which system the address leads to")
}

fn inside(url: &str) -> Result<&str, Refusal> {
    if is_inside(url) {
        return Ok(url.trim_end_matches('/'));
    }
    Err(Refusal::bad("not_inside", format!("{url} is not in the lab"), "use an address from lab.json"))
}

/// Asks the other platform for a machine and checks that it is the one that is meant.
async fn other_end(platform: &Platform, api: &str, vm: &str, uuid: Option<&str>) -> Result<Value, Refusal> {
    let machine = get_json(&platform.client, &format!("{api}/vms/{vm}")).await?;
    match uuid {
        Some(uuid) if machine["uuid"] != uuid => Err(wrong_identity("the machine's uuid", &machine["uuid"], uuid)),
        Some(_) | None => Ok(machine),
    }
}

/// Copies the source's disk to the staging area; only what is new since the last time.
pub(crate) async fn sync(platform: Arc<Platform>, vm: String, ask: SyncAsk) -> Result<Done, Refusal> {
    platform.machine(&vm)?;
    let api = inside(&ask.source)?.to_owned();
    let source_vm = ask.source_vm.clone().unwrap_or_else(|| vm.clone());
    let source = other_end(&platform, &api, &source_vm, ask.source_uuid.as_deref()).await?;
    if ask.last && source["writable"] == true {
        let message = format!("{source_vm} on the source still takes writes: a final sync would miss some");
        return Err(Refusal::conflict("source_still_writing", message, "quiesce the application first"));
    }
    if platform.desk.faults.strike(platform.side.as_str(), FaultKind::DiskFull).is_some() {
        return Err(Refusal::full(format!("the staging area of {}", platform.side.as_str())));
    }
    let staging = platform.staging(&vm);
    let before = std::fs::metadata(&staging).map_or(0, |data| data.len());
    let export = format!("{api}/vms/{source_vm}/disk");
    let copied = pull(&platform.client, &export, &staging).await?;
    if copied.replaced {
        move_file(&staging, &platform.dir.join("aside"))?;
    }
    let (path, bytes, replaced) = (staging.clone(), copied.bytes, copied.replaced);
    let image = off_loop(move || store(&path, &bytes, replaced)).await?;
    let sum = disk::checksum(&image.orders);
    if ask.last {
        let info = get_json(&platform.client, &format!("{export}/info")).await?;
        if info["sha256"] != sum.as_str() {
            let message = format!("the copy of {source_vm} has the checksum {sum}, the source {}", info["sha256"]);
            return Err(Refusal::conflict("copy_differs", message, "run the sync again"));
        }
    }
    let bytes = if copied.replaced { image.length } else { image.length.saturating_sub(before) };
    let detail = json!({
        "bytes": bytes, "totalBytes": image.length, "records": image.orders.len(), "sha256": sum,
        "incremental": before > 0 && !copied.replaced, "final": ask.last, "sourceUuid": source["uuid"],
        "diskUuid": image.header.uuid, "staging": staging,
    });
    Ok(if bytes > 0 { Done::effect(detail) } else { Done::noop(detail) })
}

struct Pulled {
    bytes: Vec<u8>,
    /// Whether the bytes are the whole disk because what was here is no beginning of it.
    replaced: bool,
}

/// Fetches what a disk has beyond the local copy at `local`.
async fn pull(client: &reqwest::Client, export: &str, local: &Path) -> Result<Pulled, Refusal> {
    let here = match disk::read(local) {
        Ok(image) => std::fs::read(local).ok().and_then(|bytes| bytes.get(..image.length as usize).map(<[u8]>::to_vec)),
        Err(_unreadable) => None,
    };
    if let Some(here) = here {
        let query = format!("?from={}&sha256={}", here.len(), disk::sha256(&here));
        if let Some(bytes) = fetch(client, export, &query, here.len()).await? {
            return Ok(Pulled { bytes, replaced: false });
        }
    }
    let bytes = fetch(client, export, "?from=0", 0).await?.unwrap_or_default();
    Ok(Pulled { bytes, replaced: local.exists() })
}

/// Fetches from an offset to the end; nothing if the other end says that the beginnings differ.
async fn fetch(client: &reqwest::Client, export: &str, first: &str, from: usize) -> Result<Option<Vec<u8>>, Refusal> {
    let failed =
        |error: reqwest::Error| Refusal::upstream(format!("the export {export} broke off: {error}"), "try again");
    let mut bytes = Vec::new();
    loop {
        let query = if bytes.is_empty() { first.to_owned() } else { format!("?from={}", from + bytes.len()) };
        let answer = client.get(format!("{export}{query}")).send().await.map_err(failed)?;
        if answer.status() == reqwest::StatusCode::CONFLICT && bytes.is_empty() && from > 0 {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(Refusal::upstream(
                format!("the export {export} answered {}", answer.status()),
                "see its state",
            ));
        }
        let part = answer.bytes().await.map_err(failed)?;
        bytes.extend_from_slice(&part);
        if part.len() < CHUNK {
            return Ok(Some(bytes));
        }
    }
}

/// A whole disk, for the backup service.
pub(crate) async fn export_whole(client: &reqwest::Client, api: &str, vm: &str) -> Result<Vec<u8>, Refusal> {
    Ok(fetch(client, &format!("{api}/vms/{vm}/disk"), "?from=0", 0).await?.unwrap_or_default())
}

fn store(path: &Path, bytes: &[u8], whole: bool) -> Result<Image, DiskError> {
    if whole || !path.exists() {
        let image = disk::parse(bytes, path)?;
        disk::create(path, &image.header, image.orders.iter().map(|order| order.raw.as_str()))?;
        return disk::read(path);
    }
    let before = disk::read(path)?;
    // The new bytes are records in the same layout: read them behind the same header.
    let mut joined =
        std::fs::read(path).map_err(|source| DiskError::Io { what: "read", path: path.to_owned(), source })?;
    joined.truncate(before.length as usize);
    joined.extend_from_slice(bytes);
    let after = disk::parse(&joined, path)?;
    let (mut writer, _) = Writer::open(path)?;
    writer.append(after.orders[before.orders.len()..].iter().map(|order| order.raw.as_str()))?;
    disk::read(path)
}

/// `POST /vms/{vm}/convert`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConvertAsk {
    /// Whether the target's driver and agent are put into the guest; yes if absent.
    pub inject_drivers: Option<bool>,
}

/// Makes an image of this platform's format out of the staging copy.
pub(crate) async fn convert(platform: Arc<Platform>, vm: String, ask: ConvertAsk) -> Result<Done, Refusal> {
    let machine = platform.machine(&vm)?;
    let (from, to) = (platform.staging(&vm), platform.image(&vm));
    if machine.disk.as_ref() == Some(&to) {
        let message = format!("{} is attached to {vm}: a conversion would overwrite a disk in use", to.display());
        return Err(Refusal::conflict("image_in_use", message, "detach it first"));
    }
    let path = from.clone();
    let staged = off_loop(move || disk::read(&path)).await?;
    let header = converted(&platform, &staged.header, ask.inject_drivers.unwrap_or(true));
    let sum = disk::checksum(&staged.orders);
    let mut detail = json!({
        "image": to, "format": header.format, "drivers": header.drivers, "records": staged.orders.len(), "sha256": sum,
    });
    if to.exists() {
        let path = to.clone();
        let there = off_loop(move || disk::read(&path)).await?;
        if there.header == header && disk::checksum(&there.orders) == sum {
            return Ok(Done::noop(detail));
        }
        let known: HashSet<&str> = staged.orders.iter().map(|order| order.raw.as_str()).collect();
        if there.orders.iter().any(|order| !known.contains(order.raw.as_str())) {
            let message = format!("{} has orders that the staging copy lacks", to.display());
            return Err(Refusal::conflict("image_has_newer_data", message, "move it aside first"));
        }
    }
    if platform.desk.faults.strike(platform.side.as_str(), FaultKind::DiskFull).is_some() {
        return Err(Refusal::full(format!("the images of {}", platform.side.as_str())));
    }
    let orders = staged.orders;
    let bytes = off_loop(move || disk::create(&to, &header, orders.iter().map(|order| order.raw.as_str()))).await?;
    detail["bytes"] = json!(bytes);
    Ok(Done::effect(detail))
}

fn converted(platform: &Platform, from: &Header, inject: bool) -> Header {
    let mut header = Header { format: platform.kind.format, ..from.clone() };
    if inject {
        if !header.drivers.iter().any(|driver| driver == platform.kind.driver) {
            header.drivers.push(platform.kind.driver.to_owned());
        }
        platform.kind.tools.clone_into(&mut header.guest_tools);
    }
    header
}

/// `POST /vms/{vm}/reverse-sync`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReverseAsk {
    /// The other platform's API.
    pub target: String,
    /// The machine there; the same name if absent.
    pub target_vm: Option<String>,
    /// Identity of the machine that the data comes from.
    pub target_uuid: String,
    /// Identity of the machine that the data comes home to.
    pub source_uuid: String,
}

/// Brings the orders that the target took home to the source's disk.
pub(crate) async fn reverse_sync(platform: Arc<Platform>, vm: String, ask: ReverseAsk) -> Result<Done, Refusal> {
    let machine = platform.machine(&vm)?;
    if machine.uuid != ask.source_uuid {
        return Err(wrong_identity("the source machine's uuid", &json!(machine.uuid), &ask.source_uuid));
    }
    if platform.guest(&vm).is_some() && machine.mode.is_writable() {
        let message = format!("the application of {vm} on {} takes writes", platform.side.as_str());
        return Err(Refusal::conflict("source_still_writing", message, "stop it first: two writers cannot be merged"));
    }
    let api = inside(&ask.target)?;
    let target_vm = ask.target_vm.as_deref().unwrap_or(&vm);
    let target = other_end(&platform, api, target_vm, Some(&ask.target_uuid)).await?;
    if target["power"] == "on" && target["fenced"] != true {
        let message = format!("{target_vm} on the target still takes writes: they would be lost");
        return Err(Refusal::conflict("target_not_fenced", message, "fence it with POST /vms/{vm}/fence"));
    }
    let disk_path = attached(&machine.disk, &vm)?;
    if target["disk"].is_null() {
        let message = format!("{target_vm} on the target has no disk attached");
        return Err(Refusal::conflict("nothing_attached", message, "nothing can have been written there"));
    }
    let path = disk_path.clone();
    let home = off_loop(move || disk::read(&path)).await?;
    if target["disk"]["uuid"] != home.header.uuid.as_str() {
        return Err(wrong_identity("the target's disk", &target["disk"]["uuid"], &home.header.uuid));
    }
    let news = news_of(&platform, &format!("{api}/vms/{target_vm}"), &home).await?;
    if news.is_empty() {
        return Ok(Done::noop(json!({ "records": 0, "total": home.orders.len() })));
    }
    if platform.desk.faults.strike(platform.side.as_str(), FaultKind::DiskFull).is_some() {
        return Err(Refusal::full(format!("the disk of {vm} on {}", platform.side.as_str())));
    }
    let (records, total) = (news.len(), home.orders.len() + news.len());
    let bytes = off_loop(move || Writer::open(&disk_path)?.0.append(news.iter().map(String::as_str))).await?;
    Ok(Done::effect(json!({ "records": records, "total": total, "bytes": bytes, "targetUuid": ask.target_uuid })))
}

fn attached(disk: &Option<PathBuf>, vm: &str) -> Result<PathBuf, Refusal> {
    disk.clone().ok_or_else(|| Refusal::conflict("no_disk", format!("{vm} has no disk attached"), "attach one"))
}

/// The records of `machine` (a URL) beyond those of `home`, which must be the beginning of its own.
async fn news_of(platform: &Platform, machine: &str, home: &Image) -> Result<Vec<String>, Refusal> {
    let have = home.orders.len();
    let info = get_json(&platform.client, &format!("{machine}/disk/info?first={have}")).await?;
    let total = info["records"].as_u64().unwrap_or_default() as usize;
    if total < have || info["firstSha256"] != disk::checksum(&home.orders).as_str() {
        let message = format!("the first {have} orders of both ends differ: somebody wrote on both");
        return Err(Refusal::conflict(
            "diverged",
            message,
            "compare GET /vms/{vm}/orders of both ends; a person decides",
        ));
    }
    let mut news = Vec::with_capacity(total - have);
    while have + news.len() < total {
        let page = get_json(&platform.client, &format!("{machine}/orders?from={}", have + news.len())).await?;
        let records = page["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        news.extend(records.iter().filter_map(Value::as_str).map(str::to_owned));
        if records.is_empty() {
            return Err(Refusal::upstream(format!("{machine}/orders ended early"), "try again"));
        }
    }
    Ok(news)
}

/// `POST /vms/{vm}/move-aside`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AsideAsk {
    /// The staging copy instead of the image.
    #[serde(default)]
    pub staging: bool,
    /// Whether it is kept; yes if absent.
    pub keep: Option<bool>,
}

/// Takes an image out of the way.
pub(crate) fn move_aside(platform: &Platform, vm: &str, ask: &AsideAsk) -> Result<Done, Refusal> {
    let machine = platform.machine(vm)?;
    let path = if ask.staging { platform.staging(vm) } else { platform.image(vm) };
    if machine.disk.as_ref() == Some(&path) {
        let message = format!("{} is attached to {vm}", path.display());
        return Err(Refusal::conflict("image_in_use", message, "detach it first"));
    }
    if !path.exists() {
        return Ok(Done::noop(json!({ "moved": null })));
    }
    if ask.keep == Some(false) {
        std::fs::remove_file(&path).map_err(|error| Refusal::broken("cannot delete an image", &error))?;
        return Ok(Done::effect(json!({ "deleted": path })));
    }
    let moved = move_file(&path, &platform.dir.join("aside"))?;
    Ok(Done::effect(json!({ "moved": moved })))
}

fn move_file(path: &Path, folder: &Path) -> Result<PathBuf, Refusal> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let to = (0..).map(|n| folder.join(format!("{}-{n}-{name}", now_ms()))).find(|to| !to.exists());
    let to = to.unwrap_or_else(|| folder.join(&*name));
    std::fs::rename(path, &to).map_err(|error| Refusal::broken("cannot move an image aside", &error))?;
    Ok(to)
}

//! What a new lab has: a source that serves with data, a snapshot and a backup, and an empty machine on the target.
//!
//! A lab that comes back has all this already and is left as it is. Start with [`set_up`].

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::clock::now_ms;
use crate::disk::{self, Order};
use crate::machine::{Machine, new_uuid};
use crate::platform::Platform;
use crate::platform_deeds::take_snapshot;
use crate::refusal::Refusal;
use crate::serve::LabOptions;
use crate::site::Site;
use crate::storage::off_loop;

/// A new lab: the source serves with data and a snapshot, the target has an empty machine.
pub(crate) async fn set_up(platforms: &[Arc<Platform>; 2], options: &LabOptions) -> Result<(), Refusal> {
    let [source, target] = platforms;
    let vm = options.vm.as_str();
    target.add(Machine::new(vm, new_uuid()))?;
    if source.machine(vm).is_ok() {
        return Ok(());
    }
    let path = source.image(vm);
    let header = source.header(vm, new_uuid());
    let orders: Vec<Order> = (1..=options.orders).filter_map(seed).collect();
    let image = path.clone();
    off_loop(move || disk::create(&image, &header, orders.iter().map(|order| order.raw.as_str()))).await?;
    let machine = Machine {
        disk: Some(path),
        storage_profile: source.kind.profiles.first().map(|&profile| profile.to_owned()),
        on: true,
        ..Machine::new(vm, new_uuid())
    };
    source.add(machine)?;
    take_snapshot(source, vm, "before-migration").await.map(|_| ())
}

fn seed(n: usize) -> Option<Order> {
    let raw = json!({ "id": format!("seed-{n}"), "item": "analytics report", "quantity": 1, "at": now_ms(), "platform": "source" });
    Order::parse(&raw.to_string())
}

/// A data centre whose source was never backed up would fail the first pre-check.
pub(crate) async fn first_backup(site: &Site, options: &LabOptions) -> Result<(), String> {
    let client = crate::http::client(Duration::from_secs(30)).map_err(|error| error.to_string())?;
    let url = site.url("backup").unwrap_or_default();
    let wanted = json!({ "platform": "source", "vm": options.vm });
    let known = crate::http::get_json(&client, &format!("{url}/jobs?platform=source")).await.map_err(|e| e.message)?;
    if known["succeeded"].as_u64().unwrap_or_default() > 0 {
        return Ok(());
    }
    let answer = client.post(format!("{url}/jobs")).json(&wanted).send().await.map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(format!("the first backup was answered with {}", answer.status()))
}

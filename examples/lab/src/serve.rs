//! The lab itself: opens its folder, its doors and its machines, says that it is ready, and serves until told to stop.
//!
//! One lab per folder, held by a lock that ends with the process. A lab that comes back finds its machines, weights,
//! records and remembered answers as they were, at the same addresses. Start with [`serve`].

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backup::{self, Backup};
use crate::balancer::{self, Balancer};
use crate::control::{self, Control};
use crate::dns::{self, Dns};
use crate::doors::Doors;
use crate::faults::Board;
use crate::founding::{first_backup, set_up};
use crate::machine::Peer;
use crate::metrics::{self, Monitor, Traffic};
use crate::once::Desk;
use crate::platform::Platform;
use crate::platform_api::{self, base};
use crate::program::Program;
use crate::site::Site;
use crate::window::Side;

/// The lock of a lab's folder.
pub(crate) const LOCK: &str = "lab.lock";

/// What a lab is like. The defaults fit the founding runbook.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// The application in the machines.
    pub application: String,
    /// The machine that moves.
    pub vm: String,
    /// TTL of the application's DNS record in a new lab, in seconds.
    pub dns_ttl: u32,
    /// Orders on the source's disk of a new lab.
    pub orders: usize,
    /// How often the backup service runs, in milliseconds.
    pub backup_every_ms: u64,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            application: "customer-analytics-api".to_owned(),
            vm: "analytics-01".to_owned(),
            dns_ttl: 30,
            orders: 500,
            backup_every_ms: 5000,
        }
    }
}

impl LabOptions {
    /// The same options as arguments of `lab serve`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        [
            ("--application", self.application.clone()),
            ("--vm", self.vm.clone()),
            ("--dns-ttl", self.dns_ttl.to_string()),
            ("--orders", self.orders.to_string()),
            ("--backup-every-ms", self.backup_every_ms.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

/// Why a lab cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another lab serves this folder.
    #[error("another lab serves {}: stop it with `lab stop --dir {}`", dir.display(), dir.display())]
    Taken {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be used.
    #[error("cannot {what} in {}", dir.display())]
    Folder {
        /// Open the ledger, …
        what: &'static str,
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A port cannot be had.
    #[error(
        "cannot listen on 127.0.0.1:{port} for {door}: a lab that comes back needs its old ports; remove lab.json to get new ones"
    )]
    Door {
        /// Which service.
        door: &'static str,
        /// Which port; 0 is any.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The first machines could not be made or booted.
    #[error("cannot set up the machines: {0}")]
    Machines(String),
}

/// Everything behind the doors.
struct Services {
    platforms: [Arc<Platform>; 2],
    balancer: Arc<Balancer>,
    dns: Arc<Dns>,
    backup: Arc<Backup>,
    monitor: Arc<Monitor>,
    control: Arc<Control>,
}

/// Runs a lab in this process until it is told to stop; `ready` is called once everything listens.
///
/// # Errors
/// The folder is taken or cannot be used, a port cannot be had, or the machines do not boot.
pub async fn serve(
    dir: &Path,
    prefix: &[&str],
    options: &LabOptions,
    ready: impl FnOnce(&Site) -> std::io::Result<()>,
) -> Result<(), ServeError> {
    let folder = |what| move |source| ServeError::Folder { what, dir: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(folder("create the folder"))?;
    let dir = &dir.canonicalize().map_err(folder("find the folder"))?;
    let _lock = lock(dir)?;
    let before = Site::read(dir).ok();
    let faults = Arc::new(Board::new());
    let doors = Doors::open(&faults, before.as_ref()).await?;
    let program = Program::this(prefix);
    let services = open(dir, options, &doors, &faults, program).map_err(folder("open the lab's files"))?;
    let failed = |refusal: crate::refusal::Refusal| ServeError::Machines(refusal.to_string());
    set_up(&services.platforms, options).await.map_err(failed)?;
    for platform in &services.platforms {
        platform.resume().await.map_err(failed)?;
    }
    let site = describe(&services, options, &doors).map_err(folder("describe the lab"))?;
    let stop = services.control.stop.clone();
    let mut tasks = start(&services, doors, options);
    first_backup(&site, options).await.map_err(ServeError::Machines)?;
    site.write(dir).map_err(folder("write lab.json"))?;
    ready(&site).map_err(folder("say that the lab is ready"))?;
    told_to_stop(&stop).await.map_err(folder("listen to signals"))?;
    services.control.send_users_home().await;
    stop.cancel();
    for platform in &services.platforms {
        platform.shut_down().await;
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn lock(dir: &Path) -> Result<File, ServeError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|source| ServeError::Folder { what: "open the lock", dir: dir.to_owned(), source })?;
    file.try_lock().map_err(|_| ServeError::Taken { dir: dir.to_owned() })?;
    Ok(file)
}

fn open(
    dir: &Path,
    options: &LabOptions,
    doors: &Doors,
    faults: &Arc<Board>,
    program: Program,
) -> std::io::Result<Services> {
    let desk = Arc::new(Desk::open(dir, Arc::clone(faults))?);
    let platform =
        |side| Platform::open(side, dir, &options.application, Arc::clone(&desk), program.clone()).map(Arc::new);
    let platforms = [platform(Side::Source)?, platform(Side::Target)?];
    let peers = vec![
        Peer { name: "lb", address: doors.lb.address() },
        Peer { name: "dns", address: doors.dns_api.address() },
        Peer { name: "backup", address: doors.backup.address() },
        Peer { name: "metrics", address: doors.metrics.address() },
    ];
    for platform in &platforms {
        // Set once, here, before anything is served.
        drop(platform.peers.set(peers.clone()));
    }
    let traffic = Arc::new(Traffic::default());
    let (source, target) = (base(doors.source.address()), base(doors.target.address()));
    let record = dns_name(options);
    Ok(Services {
        balancer: Arc::new(Balancer::open(&options.vm, platforms.clone(), Arc::clone(&traffic), dir)?),
        dns: Arc::new(Dns::open(Arc::clone(&desk), dir, &record, options.dns_ttl)?),
        backup: Arc::new(Backup::open(desk, dir, source.clone(), target.clone())?),
        monitor: Arc::new(Monitor::new(traffic, source, target)?),
        control: Arc::new(Control {
            dir: dir.to_owned(),
            faults: Arc::clone(faults),
            platforms: platforms.clone(),
            program,
            stop: CancellationToken::new(),
            users: tokio::sync::Mutex::new(None),
        }),
        platforms,
    })
}

fn dns_name(options: &LabOptions) -> String {
    format!("{}.lab.test", options.application).to_ascii_lowercase()
}

fn describe(services: &Services, options: &LabOptions, doors: &Doors) -> std::io::Result<Site> {
    let addresses: std::collections::BTreeMap<String, String> =
        doors.addresses()?.into_iter().map(|(name, address)| (name.to_owned(), address)).collect();
    let uuid = |platform: &Platform| {
        platform
            .machine(&options.vm)
            .map(|machine| json!(machine.uuid))
            .map_err(|error| std::io::Error::other(error.message))
    };
    let mut inputs: std::collections::BTreeMap<String, Value> = addresses
        .iter()
        .filter(|(name, _)| *name != "dns" && *name != "control")
        .map(|(name, address)| (name.clone(), json!(format!("http://{address}"))))
        .collect();
    let [source, target] = &services.platforms;
    for (name, value) in [
        ("dns", json!(addresses["dns"])),
        ("name", json!(dns_name(options))),
        ("vm", json!(options.vm)),
        ("sourceUuid", uuid(source)?),
        ("targetUuid", uuid(target)?),
        ("storageProfile", json!(target.kind.profiles.first())),
    ] {
        inputs.insert(name.to_owned(), value);
    }
    Ok(Site {
        pid: std::process::id(),
        application: options.application.clone(),
        vm: options.vm.clone(),
        addresses,
        inputs,
    })
}

fn start(services: &Services, doors: Doors, options: &LabOptions) -> JoinSet<()> {
    let stop = &services.control.stop;
    let mut tasks = JoinSet::new();
    let [source, target] = &services.platforms;
    for (door, router) in [
        (doors.source, platform_api::router(Arc::clone(source))),
        (doors.target, platform_api::router(Arc::clone(target))),
        (doors.vip, balancer::data_router(Arc::clone(&services.balancer))),
        (doors.lb, balancer::api_router(Arc::clone(&services.balancer))),
        (doors.dns_api, dns::router(Arc::clone(&services.dns))),
        (doors.backup, backup::router(Arc::clone(&services.backup))),
        (doors.metrics, metrics::router(Arc::clone(&services.monitor))),
        (doors.control, control::router(Arc::clone(&services.control))),
    ] {
        tasks.spawn(door.serve(router, stop.clone()));
    }
    let every = Duration::from_millis(options.backup_every_ms.max(100));
    tasks.spawn(Arc::clone(&services.dns).serve(doors.dns, stop.clone()));
    tasks.spawn(Arc::clone(&services.monitor).watch(stop.clone()));
    tasks.spawn(Arc::clone(&services.backup).schedule(every, stop.clone()));
    tasks
}

fn told_to_stop(stop: &CancellationToken) -> impl Future<Output = std::io::Result<()>> {
    let stop = stop.clone();
    async move {
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            () = stop.cancelled() => {}
            _term = term.recv() => {}
            _interrupt = interrupt.recv() => {}
        }
        Ok(())
    }
}

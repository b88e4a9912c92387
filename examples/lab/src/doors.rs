//! The doors of a lab: every address that it listens on, opened before anything is served.
//!
//! A lab that comes back opens the ports that it had, because runbooks that are under way know them. Start with [`Doors::open`].

use std::sync::Arc;

use tokio::net::UdpSocket;

use crate::faults::Board;
use crate::serve::ServeError;
use crate::site::Site;
use crate::wire::Door;

/// The doors of a lab, opened before anything is served.
pub(crate) struct Doors {
    pub source: Door,
    pub target: Door,
    pub vip: Door,
    pub lb: Door,
    pub dns_api: Door,
    pub backup: Door,
    pub metrics: Door,
    pub control: Door,
    pub dns: Arc<UdpSocket>,
}

impl Doors {
    /// Opens all of them, where they were before if there was a lab before.
    pub(crate) async fn open(faults: &Arc<Board>, before: Option<&Site>) -> Result<Self, ServeError> {
        let port = |name: &str| before.map_or(0, |site| site.port(name));
        let open = |place, name| {
            let port = port(name);
            Door::open(place, port, Arc::clone(faults)).map_err(|source| ServeError::Door { door: name, port, source })
        };
        let dns = UdpSocket::bind(("127.0.0.1", port("dns"))).await.map_err(|source| ServeError::Door {
            door: "dns",
            port: port("dns"),
            source,
        })?;
        Ok(Self {
            source: open("source", "sourceApi")?,
            target: open("target", "targetApi")?,
            vip: open("lb-data", "vip")?,
            lb: open("lb-api", "lb")?,
            dns_api: open("dns-api", "dnsApi")?,
            backup: open("backup-api", "backup")?,
            metrics: open("metrics", "metrics")?,
            control: open("control", "control")?,
            dns: Arc::new(dns),
        })
    }

    /// `host:port` of each by the name that `lab.json` gives it.
    pub(crate) fn addresses(&self) -> std::io::Result<Vec<(&'static str, String)>> {
        let http = [
            ("sourceApi", &self.source),
            ("targetApi", &self.target),
            ("vip", &self.vip),
            ("lb", &self.lb),
            ("dnsApi", &self.dns_api),
            ("backup", &self.backup),
            ("metrics", &self.metrics),
            ("control", &self.control),
        ];
        let mut all: Vec<_> = http.iter().map(|(name, door)| (*name, door.address().to_string())).collect();
        all.push(("dns", self.dns.local_addr()?.to_string()));
        Ok(all)
    }
}

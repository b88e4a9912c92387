//! The outlets that hear notices, as one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::notice::Notice;
use super::program::Program;
use super::webhook::Webhook;
use super::{OutletError, Outlets, web};
use crate::engine::secrets::SecretSources;
use crate::machine::fact::Millis;

/// Why a notice was not heard.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: String,
    /// It makes no sense to try again.
    pub(super) is_final: bool,
}

impl Refusal {
    /// It may be heard another time.
    pub(super) fn once(why: String) -> Self {
        Self { why, is_final: false }
    }

    /// It will never be heard.
    pub(super) fn for_good(why: String) -> Self {
        Self { why, is_final: true }
    }
}

/// Something that hears notices.
#[derive(Debug, Clone)]
pub(super) enum Post {
    Program(Program),
    Webhook(Webhook),
}

impl Post {
    /// Those that were asked for.
    pub(super) fn all(outlets: &Outlets, sources: &Arc<SecretSources>) -> Result<Vec<Self>, OutletError> {
        let mut all = Vec::new();
        if let Some(path) = &outlets.notify_command {
            all.push(Self::Program(Program(program(path)?)));
        }
        if let Some(url) = &outlets.webhook {
            let secret = outlets.webhook_secret.clone();
            all.push(Self::Webhook(Webhook { url: web(url)?, secret, sources: sources.clone() }));
        }
        Ok(all)
    }

    /// What it is called where its troubles are told.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Program(_) => "the notify command",
            Self::Webhook(_) => "the webhook",
        }
    }

    /// The name under which it is known what it was told. Another program or address is told anew; an address may hold a
    /// password, so it is not written down once more.
    pub(super) fn key(&self) -> String {
        let (kind, place) = match self {
            Self::Program(program) => ("command", program.0.display().to_string()),
            Self::Webhook(webhook) => ("webhook", webhook.url.to_string()),
        };
        let digest = Sha256::digest(place.as_bytes());
        let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{kind}-{short}")
    }

    /// Tries once; `wall` is the time that others agree on.
    pub(super) async fn tell(&self, notice: &Notice, wall: Millis) -> Result<(), Refusal> {
        let body = serde_json::to_vec(notice).map_err(|error| Refusal::for_good(error.to_string()))?;
        match self {
            Self::Program(program) => program.tell(notice, body).await,
            Self::Webhook(webhook) => webhook.tell(notice, body, wall.div_euclid(1000)).await,
        }
    }
}

/// A program by its place. Whether it can be started is seen when there is something to tell.
pub(super) fn program(text: &str) -> Result<PathBuf, OutletError> {
    let path = Path::new(text);
    // The next engine may be started from another folder.
    if path.is_absolute() { Ok(path.to_owned()) } else { Err(OutletError::Program(text.to_owned())) }
}

//! Where an engine tells what: the same flags for every verb that may start one, and for the engine itself.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::outlets::{self, Outlets};
use crate::view::Level;

/// All outlets.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct OutletArgs {
    /// Keep a page `RUN/by-hand.html` current in this folder, or at this address (HTTP PUT), from which a person
    /// finishes the night if this machine is gone. Later engines of the state directory keep it, too; '' ends that.
    #[arg(long, value_name = "DIR|URL", value_parser = outlet)]
    handout: Option<String>,
    /// Tell this address every 20 s that the engine lives (HTTP POST), so that a monitor elsewhere notices when it does
    /// not. Later engines of the state directory do so, too; '' ends that.
    #[arg(long, value_name = "URL", value_parser = monitor)]
    heartbeat: Option<String>,
    #[command(flatten)]
    pub(super) notify: NotifyArgs,
}

/// Those that hear notices.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct NotifyArgs {
    /// Start this program with each notice, as JSON on its standard input: it calls, mails or writes to whom it may
    /// concern. Later engines of the state directory do so, too; '' ends that.
    #[arg(long, value_name = "PROG", value_parser = program)]
    notify_command: Option<String>,
    /// Post each notice to this address as JSON. Later engines of the state directory do so, too; '' ends that.
    #[arg(long, value_name = "URL", value_parser = webhook)]
    webhook: Option<String>,
    /// Sign what the webhook hears with the secret of this name; '' ends that.
    #[arg(long, value_name = "NAME")]
    webhook_secret: Option<String>,
    /// The least level of a notice: `info` (how it goes), `act` (somebody should answer), `page` (somebody must come now)
    /// [default: act].
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    notify_level: Option<Level>,
}

impl NotifyArgs {
    /// As they were given.
    pub(super) fn outlets(&self) -> Outlets {
        Outlets {
            handout: None,
            heartbeat: None,
            notify_command: self.notify_command.clone(),
            webhook: self.webhook.clone(),
            webhook_secret: self.webhook_secret.clone(),
            notify_level: self.notify_level,
            of: None,
        }
    }
}

impl OutletArgs {
    /// As they were given.
    pub(super) fn outlets(&self) -> Outlets {
        Outlets { handout: self.handout.clone(), heartbeat: self.heartbeat.clone(), ..self.notify.outlets() }
    }
}

/// The flags that say the same.
pub(super) fn flags(outlets: &Outlets) -> Vec<(&'static str, &str)> {
    let level = outlets.notify_level.map(Level::word);
    let given = [
        ("--handout", outlets.handout.as_deref()),
        ("--heartbeat", outlets.heartbeat.as_deref()),
        ("--notify-command", outlets.notify_command.as_deref()),
        ("--webhook", outlets.webhook.as_deref()),
        ("--webhook-secret", outlets.webhook_secret.as_deref()),
        ("--notify-level", level),
    ];
    given.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect()
}

/// A folder is made absolute: the next engine may be started from elsewhere.
fn outlet(text: &str) -> Result<String, String> {
    let place = if outlets::is_address(text) || text.is_empty() {
        text.to_owned()
    } else {
        std::path::absolute(text).map_err(|error| error.to_string())?.display().to_string()
    };
    checked(&Outlets { handout: Some(place.clone()), ..Outlets::default() }, place)
}

fn monitor(text: &str) -> Result<String, String> {
    checked(&Outlets { heartbeat: Some(text.to_owned()), ..Outlets::default() }, text.to_owned())
}

fn webhook(text: &str) -> Result<String, String> {
    checked(&Outlets { webhook: Some(text.to_owned()), ..Outlets::default() }, text.to_owned())
}

/// A program is looked for as a shell does, and kept with its whole path: the next engine may have another one.
fn program(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let found = if text.contains('/') {
        std::path::absolute(text).map_err(|error| error.to_string())?
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut all = std::env::split_paths(&path).map(|folder| folder.join(text));
        all.find(|file| is_program(file)).ok_or_else(|| format!("no folder of PATH has a program `{text}`"))?
    };
    if is_program(&found) {
        shown(found)
    } else {
        Err(format!("{} is no program that can be started", found.display()))
    }
}

/// A place that cannot be written down cannot be kept.
fn shown(path: PathBuf) -> Result<String, String> {
    path.into_os_string().into_string().map_err(|path| format!("{} is not UTF-8", path.display()))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

fn level(text: &str) -> Result<Level, String> {
    let known = Level::of_word(text).filter(|level| *level != Level::Detail);
    known.ok_or_else(|| "a level is `info`, `act` or `page`".to_owned())
}

fn checked(outlets: &Outlets, text: String) -> Result<String, String> {
    outlets.check().map(|()| text).map_err(|error| error.to_string())
}

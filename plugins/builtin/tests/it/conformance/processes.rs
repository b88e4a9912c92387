//! Worlds of `command`, `noop` and `wait`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bascule_plugin::conformance::{Subject, World};
use bascule_plugin::{Effect, Executor};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::registered;

pub(super) fn subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(Script { name: "writes a file", effect: Effect::Idempotent, script: WRITES }),
        Box::new(Script { name: "starts children and ignores TERM", effect: Effect::Once, script: STUBBORN }),
    ]
}

/// This takes longer than a cancelled one may.
pub(super) fn slow_subjects() -> Vec<Box<dyn Subject>> {
    vec![Box::new(Script { name: "takes long", effect: Effect::Once, script: "sleep 3" })]
}

/// Executors that only let time pass, or not even that.
pub(super) fn idle_subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(Plain { name: "noop", with: json!({"outputs": {"vip": "10.0.0.7"}}) }),
        Box::new(Plain { name: "wait", with: json!({"for": "30ms"}) }),
    ]
}

/// Shorter than the slow ones.
const PROMPT: Duration = Duration::from_secs(2);

const WRITES: &str = "echo one > part && mv part whole && echo whole=yes > \"$BASCULE_OUTPUTS\"";
const STUBBORN: &str = "trap '' TERM; (sleep 0.02; echo a > a) & sleep 0.03; echo b > b; wait";

/// `command` in a folder.
struct Script {
    name: &'static str,
    effect: Effect,
    script: &'static str,
}

struct Folder {
    folder: TempDir,
    script: &'static str,
}

#[async_trait]
impl Subject for Script {
    fn name(&self) -> String {
        format!("command {}", self.name)
    }

    fn executor(&self) -> Arc<dyn Executor> {
        registered("command")
    }

    async fn fresh(&self) -> Box<dyn World> {
        Box::new(Folder { folder: TempDir::new().expect("a folder"), script: self.script })
    }

    fn effect(&self, _with: &Value) -> Effect {
        self.effect
    }

    fn prompt(&self) -> Duration {
        PROMPT
    }
}

#[async_trait]
impl World for Folder {
    fn with(&self) -> Value {
        json!({"shell": self.script, "cwd": self.folder.path(), "terminateAfter": "20ms"})
    }

    async fn fingerprint(&self) -> String {
        listing(self.folder.path())
    }
}

/// Every entry below a folder: its kind, permissions and content.
pub(super) fn listing(folder: &Path) -> String {
    fn walk(folder: &Path, root: &Path, lines: &mut Vec<String>) {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(folder).expect("a folder can be listed") {
            let path = entry.expect("an entry").path();
            let about = std::fs::symlink_metadata(&path).expect("an entry can be looked at");
            let name = path.strip_prefix(root).expect("it is below the root").display().to_string();
            let mode = about.permissions().mode() & 0o7777;
            if about.is_dir() {
                lines.push(format!("{name}/ {mode:o}"));
                walk(&path, root, lines);
            } else if about.is_symlink() {
                let target = std::fs::read_link(&path).expect("a link can be read");
                lines.push(format!("{name} -> {}", target.display()));
            } else {
                let content = std::fs::read(&path).expect("a file can be read");
                let content = String::from_utf8_lossy(&content);
                let (start, length) = (content.chars().take(40).collect::<String>(), content.len());
                lines.push(format!("{name} {mode:o} {length} bytes {start:?}"));
            }
        }
    }
    let mut lines = Vec::new();
    walk(folder, folder, &mut lines);
    lines.sort();
    lines.join("\n")
}

/// An executor that changes nothing.
struct Plain {
    name: &'static str,
    with: Value,
}

struct Nothing(Value);

#[async_trait]
impl Subject for Plain {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn executor(&self) -> Arc<dyn Executor> {
        registered(self.name)
    }

    async fn fresh(&self) -> Box<dyn World> {
        Box::new(Nothing(self.with.clone()))
    }

    fn prompt(&self) -> Duration {
        PROMPT
    }
}

#[async_trait]
impl World for Nothing {
    fn with(&self) -> Value {
        self.0.clone()
    }

    async fn fingerprint(&self) -> String {
        String::new()
    }
}

//! Worlds of the `files` executors: a folder with something in it.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bascule_plugin::Executor;
use bascule_plugin::conformance::{Subject, World};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::processes::listing;
use super::registered;

/// An executor in a folder.
struct Files {
    executor: &'static str,
    name: &'static str,
    /// Fills the folder.
    fill: fn(&Path),
    /// The parameters, for the folder.
    with: fn(&Path) -> Value,
}

fn boxed<const N: usize>(list: [Files; N]) -> Vec<Box<dyn Subject>> {
    list.into_iter().map(|files| Box::new(files) as Box<dyn Subject>).collect()
}

pub(super) fn copies() -> Vec<Box<dyn Subject>> {
    boxed([
        Files {
            executor: "files.copy",
            name: "a file",
            fill: source,
            with: |at| json!({"from": at.join("disk"), "to": at.join("copy")}),
        },
        Files {
            executor: "files.copy",
            name: "a folder",
            fill: folder,
            with: |at| json!({"from": at.join("site"), "to": at.join("copy")}),
        },
        Files {
            executor: "files.copy",
            name: "over other content",
            fill: |at| {
                source(at);
                write(&at.join("copy"), "what was there before");
            },
            with: |at| json!({"from": at.join("disk"), "to": at.join("copy"), "overwrite": true, "keep": false}),
        },
        Files {
            executor: "files.copy",
            name: "a folder over other content",
            fill: |at| {
                folder(at);
                std::fs::create_dir(at.join("copy")).expect("a folder");
                write(&at.join("copy/page"), "what was there before");
            },
            with: |at| json!({"from": at.join("site"), "to": at.join("copy"), "overwrite": true}),
        },
        Files {
            executor: "files.copy",
            name: "over the same content",
            fill: |at| {
                source(at);
                write(&at.join("copy"), &"0123456789".repeat(30_000));
            },
            with: |at| json!({"from": at.join("disk"), "to": at.join("copy")}),
        },
    ])
}

pub(super) fn others() -> Vec<Box<dyn Subject>> {
    boxed([
        Files {
            executor: "files.verify",
            name: "a file",
            fill: folder,
            with: |at| json!({"path": at.join("site/page"), "minBytes": 4, "equals": at.join("site/page")}),
        },
        Files {
            executor: "files.moveAside",
            name: "a folder",
            fill: folder,
            with: |at| json!({"path": at.join("site")}),
        },
        Files {
            executor: "files.moveAside",
            name: "nothing",
            fill: folder,
            with: |at| json!({"path": at.join("nothing"), "missingOk": true}),
        },
        Files {
            executor: "files.remove",
            name: "a folder, kept",
            fill: folder,
            with: |at| json!({"path": at.join("site")}),
        },
        Files {
            executor: "files.remove",
            name: "a folder, for good",
            fill: folder,
            with: |at| json!({"path": at.join("site"), "keep": false}),
        },
        Files {
            executor: "files.remove",
            name: "a link, kept",
            fill: folder,
            with: |at| json!({"path": at.join("site/link")}),
        },
    ])
}

/// Two pieces of content, as an attempt reads it.
fn source(at: &Path) {
    write(&at.join("disk"), &"0123456789".repeat(30_000));
}

fn folder(at: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(at.join("site/empty")).expect("a folder");
    std::fs::create_dir_all(at.join("site/read-only")).expect("a folder");
    write(&at.join("site/page"), "page");
    write(&at.join("site/read-only/script"), "#!/bin/sh\n");
    std::os::unix::fs::symlink("/nowhere", at.join("site/link")).expect("a link");
    for (name, mode) in [("site/read-only/script", 0o755), ("site/read-only", 0o555)] {
        std::fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(mode)).expect("permissions");
    }
}

fn write(path: &Path, content: &str) {
    std::fs::write(path, content).expect("a file can be written");
}

#[async_trait]
impl Subject for Files {
    fn name(&self) -> String {
        format!("{} {}", self.executor, self.name)
    }

    fn executor(&self) -> Arc<dyn Executor> {
        registered(self.executor)
    }

    fn undoes(&self) -> bool {
        self.executor().describe().undoes && !self.name.ends_with("for good")
    }

    async fn fresh(&self) -> Box<dyn World> {
        // A file system in memory makes the many flushes cheap.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let folder = folder.expect("a folder");
        (self.fill)(folder.path());
        Box::new(Folder { with: (self.with)(folder.path()), folder })
    }
}

struct Folder {
    folder: TempDir,
    with: Value,
}

#[async_trait]
impl World for Folder {
    fn with(&self) -> Value {
        self.with.clone()
    }

    async fn fingerprint(&self) -> String {
        listing(self.folder.path())
    }
}

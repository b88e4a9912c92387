//! `files.copy`: a file or folder, copied under another name and moved into place when it is whole.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, IdempotencyKey, Left, Outcome, Role, Validation,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::{self, Beside, Claim, blocking, exists, rename_new};
use super::transfer::Transfer;
use super::{Halt, aside, back, checked, mark, parent, quote_path, tree};
use crate::params;

/// Copies files.
#[derive(Debug)]
pub(crate) struct Copy;

/// The parameters.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// What to copy: the absolute path of a file or folder.
    from: PathBuf,
    /// The absolute path of the copy. The folder that it lies in must exist.
    to: PathBuf,
    /// Replaces other content at `to`, which is kept beside it; refused unless `true`.
    #[serde(default)]
    overwrite: bool,
    /// The SHA-256 that the content must have.
    sha256: Option<String>,
    /// Whether an undo keeps a copy that cannot be had again from `from`, by moving it aside; `true` unless given.
    keep: Option<bool>,
}

impl Params {
    fn read(with: &Value) -> Result<Self, Failure> {
        let mut params: Self = params::read(with)?;
        params.from = checked("from", &params.from)?;
        params.to = checked("to", &params.to)?;
        if params.to.starts_with(&params.from) || params.from.starts_with(&params.to) {
            return Err(params::wrong("`from` and `to` lie within each other"));
        }
        Ok(params)
    }
}

/// What was copied and what became of what was there before.
struct Copied {
    digest: String,
    entries: Vec<tree::Entry>,
    created: bool,
    kept: Option<PathBuf>,
}

impl Copied {
    fn outputs(&self, to: &Path) -> Value {
        let files = self.entries.iter().filter(|entry| entry.kind == tree::Kind::File).count();
        let bytes: u64 = self.entries.iter().map(|entry| entry.bytes).sum();
        let kept: Vec<_> = self.kept.iter().map(|path| path.display().to_string()).collect();
        json!({
            "path": to.display().to_string(), "sha256": self.digest, "bytes": bytes, "files": files,
            "created": self.created, "kept": kept,
        })
    }
}

#[async_trait]
impl Executor for Copy {
    fn reports_progress(&self) -> bool {
        true
    }

    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let params = Params::read(task.with).ok()?;
        let (from, to) = (quote_path(&params.from), quote_path(&params.to));
        match task.role {
            Role::Step => Some(format!("cp -anT -- {from} {to} && sync && diff -r -- {from} {to}")),
            Role::Undo if task.outputs.is_some_and(|outputs| outputs["created"] == false) => {
                Some("true  # it was there before the step: nothing is to be taken back".to_owned())
            }
            Role::Undo => {
                let replaced = task.outputs.and_then(|outputs| outputs["kept"][0].as_str());
                let replaced = replaced.map(|kept| format!(" && {}", back(kept, &params.to)));
                Some(format!("{}{}", aside(&params.to), replaced.unwrap_or_default()))
            }
        }
    }

    fn describe(&self) -> Description {
        Description {
            name: "files.copy",
            summary: "Copies a file or folder, verifies the copy and moves it into place whole.",
            params: params::schema::<Params>(),
            outputs: &[
                ("path", "Where the copy is."),
                ("sha256", "The SHA-256 of its content; of a folder, that of its listing."),
                ("bytes", "The bytes of all its files."),
                ("files", "The number of its files."),
                ("created", "Whether this step made it; false if the same content was there before."),
                ("kept", "Where content that was replaced lies now; a list of at most one path."),
            ],
            effect: Effect::Idempotent,
            probes: false,
            undoes: true,
        }
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, role: Role) -> Validation {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Validation::Refused(failure),
        };
        if role == Role::Undo {
            return Validation::Verified;
        }
        let checked = blocking(move || {
            let entries = tree::list(&params.from)?;
            space(&params, &entries)
        });
        match checked.await {
            Ok(()) => Validation::Verified,
            Err(Halt::Failed(failure)) => Validation::Refused(failure),
            Err(Halt::Stopped(_)) => Validation::NotVerified("there was no time to look".to_owned()),
        }
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        let claim = match Claim::on(cx, &params.to).await {
            Ok(claim) => claim,
            Err(halt) => return halt.into_outcome(Left::Nothing),
        };
        match copy(cx, &claim, &params).await {
            Ok(copied) => Outcome::done(copied.outputs(&params.to)),
            Err((halt, left)) => halt.into_outcome(left),
        }
    }

    async fn undo(&self, cx: &ExecCx, with: &Value, outputs: Option<&Value>) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        let claim = match Claim::on(cx, &params.to).await {
            Ok(claim) => claim,
            Err(halt) => return halt.into_outcome(Left::Nothing),
        };
        match take_back(cx, &claim, &params, outputs).await {
            Ok(outputs) => Outcome::done(outputs),
            Err((halt, left)) => halt.into_outcome(left),
        }
    }
}

/// Whether there is room for the copy, with the holes of the original left out.
fn space(params: &Params, entries: &[tree::Entry]) -> Result<(), Halt> {
    let folder = parent(&params.to);
    let room = rustix::fs::statvfs(folder).map_err(|error| Halt::io("use the folder", folder, &error.into()))?;
    let (free, needed) = (room.f_bavail.saturating_mul(room.f_frsize), entries.iter().map(|entry| entry.taken).sum());
    if free >= needed {
        return Ok(());
    }
    Err(Halt::Failed(
        Failure::new(format!("{} has {free} bytes free, and the copy needs {needed}", folder.display()))
            .hint("free some space there, or copy to another file system"),
    ))
}

async fn copy(cx: &ExecCx, claim: &Claim, params: &Params) -> Result<Copied, (Halt, Left)> {
    let untouched = |halt| (halt, Left::Nothing);
    let from = params.from.clone();
    let entries = blocking(move || tree::list(&from)).await.map_err(untouched)?;
    let present = look(cx, params).await.map_err(untouched)?;
    if let Some(present) = &present {
        let source = tree::digest(cx, &params.from).await.map_err(untouched)?;
        expect(params, &source).map_err(untouched)?;
        if present.digest == source {
            let kept = replaced(cx, params).await.map_err(untouched)?;
            return Ok(Copied { digest: source, entries, created: present.ours, kept });
        }
        if !params.overwrite {
            let failure = Failure::new(format!("{} is there already, with other content", params.to.display()))
                .hint("move it away, or say `overwrite: true`, which keeps it beside the copy");
            return Err(untouched(Halt::Failed(failure)));
        }
    }
    let (room, listed) = (params.clone(), entries.clone());
    blocking(move || space(&room, &listed)).await.map_err(untouched)?;
    let part = place::part(&params.to, cx.key());
    let digest = match prepare(cx, claim, params, &entries).await {
        Ok(digest) => digest,
        Err(halt) => {
            // The name is ours alone; what cannot be removed now is removed by the undo.
            let removed = claim.run(move || tree::delete(&part)).await.is_ok();
            return Err((halt, if removed { Left::Nothing } else { Left::Possible }));
        }
    };
    let ours = present.is_some_and(|present| present.ours);
    let kept = put_in_place(cx, claim, params, (&digest, ours)).await;
    let kept = kept.map_err(|error| (Halt::io("move the copy to", &params.to, &error), Left::Possible))?;
    Ok(Copied { digest, entries, created: true, kept })
}

/// What lies at the target.
struct Present {
    digest: String,
    /// Whether this step wrote it, and nobody changed it since.
    ours: bool,
}

async fn look(cx: &ExecCx, params: &Params) -> Result<Option<Present>, Halt> {
    let (to, key) = (params.to.clone(), cx.key().clone());
    let found = blocking(move || Ok::<_, io::Error>((exists(&to)?, mark::get(&to, &key)?))).await;
    let (there, marked) = found.map_err(|error| Halt::io("look at", &params.to, &error))?;
    if !there {
        return Ok(None);
    }
    let digest = tree::digest_itself(cx, &params.to).await?;
    let ours = marked.is_some_and(|marked| marked == digest);
    Ok(Some(Present { digest, ours }))
}

/// Where an earlier attempt of this step put what was there before it.
async fn replaced(cx: &ExecCx, params: &Params) -> Result<Option<PathBuf>, Halt> {
    let (to, key) = (params.to.clone(), cx.key().clone());
    let found = blocking(move || place::moved_by_step(&to, Beside::Aside, &key)).await;
    found.map_err(|error| Halt::io("list", parent(&params.to), &error))
}

fn expect(params: &Params, digest: &str) -> Result<(), Halt> {
    match &params.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(digest) => {
            Err(Halt::failed(format!("{} has the SHA-256 {digest}, expected was {expected}", params.from.display())))
        }
        Some(_) | None => Ok(()),
    }
}

/// Makes the whole copy under its hidden name.
async fn prepare(cx: &ExecCx, claim: &Claim, params: &Params, entries: &[tree::Entry]) -> Result<String, Halt> {
    let part = place::part(&params.to, cx.key());
    let old = part.clone();
    let removed = claim.run(move || tree::delete(&old)).await;
    removed.map_err(|error| Halt::io("remove the unfinished copy", &part, &error))?;
    let digest = Transfer { cx, claim, from: &params.from, part: &part, entries }.run().await?;
    expect(params, &digest)?;
    super::go_on(cx)?;
    Ok(digest)
}

/// Marks the copy with its digest and gives it its name, step by step, so that an interruption
/// between two of them is one that was tried; where what was there before lies now.
async fn put_in_place(
    cx: &ExecCx,
    claim: &Claim,
    params: &Params,
    (digest, ours): (&str, bool),
) -> io::Result<Option<PathBuf>> {
    let place = || (params.to.clone(), cx.key().clone());
    let ((to, key), digest) = (place(), digest.to_owned());
    claim.run(move || mark::set(&place::part(&to, &key), &to, &key, &digest)).await?;
    let (to, key) = place();
    let freed = claim.run(move || match (ours, exists(&to)?) {
        // The same step wrote it from an older source; nobody else's content is lost.
        (true, _) => tree::delete(&to),
        (false, true) => place::keep_beside(&to, &place::aside(&to, Beside::Aside, &key)),
        (false, false) => Ok(()),
    });
    freed.await?;
    let (to, key) = place();
    claim.run(move || place::rename_over_file(&place::part(&to, &key), &to)).await?;
    let (to, key) = place();
    claim.run(move || place::moved_by_step(&to, Beside::Aside, &key)).await
}

async fn take_back(
    cx: &ExecCx,
    claim: &Claim,
    params: &Params,
    outputs: Option<&Value>,
) -> Result<Value, (Halt, Left)> {
    let possible = |halt| (halt, Left::Possible);
    let written = written(cx, params, outputs).await.map_err(|halt| (halt, Left::Nothing))?;
    let mut removed = false;
    if let Some(written) = written {
        let disposable = is_disposable(cx, params, &written).await?;
        let (to, key) = (params.to.clone(), cx.key().clone());
        let taken = claim.run(move || take_away(&to, &key, disposable)).await;
        taken.map_err(|error| possible(Halt::io("take away", &params.to, &error)))?;
        removed = true;
    }
    let cleaned = clean_up(cx, claim, params).await;
    let (kept, restored) = cleaned.map_err(|error| possible(Halt::io("restore", &params.to, &error)))?;
    let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
    Ok(json!({"removed": removed, "kept": kept, "restored": restored}))
}

/// The digest of what the step wrote, if what lies at the target is the step's own.
async fn written(cx: &ExecCx, params: &Params, outputs: Option<&Value>) -> Result<Option<String>, Halt> {
    let (to, key) = (params.to.clone(), cx.key().clone());
    let found = blocking(move || Ok::<_, io::Error>((exists(&to)?, mark::get(&to, &key)?))).await;
    let (there, marked) = found.map_err(|error| Halt::io("look at", &params.to, &error))?;
    let told = outputs.filter(|outputs| outputs["created"] == true);
    let (Some(told), true, None) = (told, there, &marked) else { return Ok(marked) };
    let kept: Vec<PathBuf> = told["kept"].as_array().into_iter().flatten().filter_map(as_path).collect();
    if !kept.is_empty() && !blocking(move || kept.iter().any(|path| path.exists())).await {
        // What was replaced is back in its place already.
        return Ok(None);
    }
    let now = tree::digest_itself(cx, &params.to).await?;
    if told["sha256"].as_str() == Some(now.as_str()) {
        return Ok(Some(now));
    }
    let failure = Failure::new(format!("what is at {} now was not written by this step", params.to.display()))
        .hint("look at it; if it may stay, waive this undo, otherwise move it away and retry");
    Err(Halt::Failed(failure))
}

fn as_path(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}

/// Whether the copy may be deleted; otherwise it is kept, or the undo refuses.
async fn is_disposable(cx: &ExecCx, params: &Params, written: &str) -> Result<bool, (Halt, Left)> {
    let untouched = |halt| (halt, Left::Nothing);
    let now = tree::digest_itself(cx, &params.to).await.map_err(untouched)?;
    let keep = params.keep.unwrap_or(true);
    if now != written {
        if keep {
            return Ok(false);
        }
        let failure = Failure::new(format!("{} was changed after it was copied", params.to.display()))
            .hint("look at it and remove it by hand, or say `keep: true` to have it moved aside");
        return Err(untouched(Halt::Failed(failure)));
    }
    if !keep {
        return Ok(true);
    }
    // The same bytes elsewhere: nothing is lost with the copy.
    match tree::digest(cx, &params.from).await {
        Ok(source) => Ok(source == written),
        Err(Halt::Failed(_)) => Ok(false),
        Err(halt @ Halt::Stopped(_)) => Err(untouched(halt)),
    }
}

fn take_away(to: &Path, key: &IdempotencyKey, disposable: bool) -> io::Result<()> {
    if disposable {
        // Out of sight at once, so that nobody meets half a folder.
        let part = place::part(to, key);
        tree::delete(&part)?;
        rename_new(to, &part)
    } else {
        rename_new(to, &place::aside(to, Beside::Aside, key))
    }
}

/// Removes what is unfinished or half removed, and brings back what was replaced, step by step.
async fn clean_up(cx: &ExecCx, claim: &Claim, params: &Params) -> io::Result<(Option<PathBuf>, bool)> {
    let place = || (params.to.clone(), cx.key().clone());
    let (to, key) = place();
    claim.run(move || tree::delete(&place::part(&to, &key))).await?;
    let (to, key) = place();
    claim.run(move || mark::clear(&to, &key)).await?;
    let (to, key) = place();
    let restored = claim.run(move || place::bring_back(&to, &key)).await?;
    let (to, key) = place();
    let kept = place::aside(&to, Beside::Aside, &key);
    Ok((blocking(move || exists(&kept).map(|there| there.then_some(kept))).await?, restored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_cannot_fit_is_refused_by_what_it_takes_not_by_its_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let params =
            Params::read(&json!({"from": "/data/disk", "to": folder.path().join("copy")})).expect("parameters");
        let entry = |bytes, taken| tree::Entry {
            name: PathBuf::new(),
            kind: tree::Kind::File,
            mode: 0o644,
            bytes,
            taken,
            modified: None,
        };
        assert!(space(&params, &[entry(u64::MAX, 4096)]).is_ok(), "a file of holes takes next to nothing");
        let Err(Halt::Failed(failure)) = space(&params, &[entry(u64::MAX, u64::MAX)]) else {
            panic!("no disk has room for that");
        };
        assert!(failure.message.contains("bytes free, and the copy needs 18446744073709551615"), "{failure}");
    }
}

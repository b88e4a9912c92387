//! `files.remove`: takes a file or folder away; by default it is kept beside its place.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, IdempotencyKey, Left, Outcome, Role, Validation,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::{self, Beside, Claim, SetAside, blocking, exists};
use super::{Halt, aside, back, checked, move_aside, quote_path, tree};
use crate::params;

/// Removes files.
#[derive(Debug)]
pub(crate) struct Remove;

/// The parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// The absolute path of the file, folder or link to remove. Nothing there is fine.
    path: PathBuf,
    /// Whether it is kept under another name beside its place; `true` unless given. With `false` it is deleted for good.
    keep: Option<bool>,
}

impl Params {
    fn read(with: &Value) -> Result<Self, Failure> {
        let mut params: Self = params::read(with)?;
        params.path = checked("path", &params.path)?;
        Ok(params)
    }

    fn keeps(&self) -> bool {
        self.keep.unwrap_or(true)
    }
}

#[async_trait]
impl Executor for Remove {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let params = Params::read(task.with).ok()?;
        let path = quote_path(&params.path);
        match task.role {
            Role::Step if params.keeps() => Some(aside(&params.path)),
            Role::Step => Some(format!("rm -rf -- {path}")),
            Role::Undo => {
                let kept = task.outputs.and_then(|outputs| outputs["kept"][0].as_str());
                kept.map(|kept| back(kept, &params.path))
            }
        }
    }

    fn describe(&self) -> Description {
        Description {
            name: "files.remove",
            summary: "Removes a file or folder, and keeps it under another name unless told not to.",
            params: params::schema::<Params>(),
            outputs: &[
                ("removed", "Whether something was there to remove."),
                ("kept", "Where it lies now; a list of at most one path."),
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
        if role == Role::Undo && !params.keeps() {
            return Validation::Refused(for_good(&params.path));
        }
        let path = params.path.clone();
        match blocking(move || exists(&path)).await {
            Ok(_) => Validation::Verified,
            Err(error) => {
                Validation::Refused(Failure::caused(format!("cannot look at {}", params.path.display()), &error))
            }
        }
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        let claim = match Claim::on(cx, &params.path).await {
            Ok(claim) => claim,
            Err(halt) => return halt.into_outcome(Left::Nothing),
        };
        let (path, key) = (params.path.clone(), cx.key().clone());
        let done = if params.keeps() {
            claim.run(move || keep(&path, &key)).await
        } else {
            delete(&claim, &path, &place::part(&path, &key)).await
        };
        match done {
            Ok(outputs) => Outcome::done(outputs),
            Err(error) => Halt::io("remove", &params.path, &error).into_outcome(Left::Possible),
        }
    }

    async fn undo(&self, cx: &ExecCx, with: &Value, outputs: Option<&Value>) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        if params.keeps() {
            return move_aside::put_back(cx, &params.path, Beside::Removed).await;
        }
        let took_nothing = outputs.is_some_and(|outputs| outputs["removed"] == false);
        let path = params.path.clone();
        match blocking(move || exists(&path)).await {
            Ok(there) if there || took_nothing => Outcome::done(json!({"restored": false})),
            Ok(_) => Outcome::untouched(for_good(&params.path)),
            Err(error) => Halt::io("look at", &params.path, &error).into_outcome(Left::Nothing),
        }
    }
}

fn for_good(path: &Path) -> Failure {
    Failure::new(format!("{} is deleted for good with `keep: false`, no undo can bring it back", path.display()))
        .hint("say `keep: true`, or declare the step with `undo: none` and a reason")
}

fn keep(path: &Path, key: &IdempotencyKey) -> std::io::Result<Value> {
    let aside = place::aside(path, Beside::Removed, key);
    Ok(match place::set_aside(path, &aside)? {
        SetAside::Now | SetAside::Before => json!({"removed": true, "kept": [aside.display().to_string()]}),
        SetAside::Missing => json!({"removed": false, "kept": []}),
    })
}

/// Out of sight at once, then deleted: an interruption never leaves half a folder at the path.
async fn delete(claim: &Claim, path: &Path, part: &Path) -> std::io::Result<Value> {
    let (from, to) = (path.to_owned(), part.to_owned());
    let there = claim.run(move || {
        let there = exists(&from)?;
        if there {
            // What an earlier attempt could not finish makes room.
            tree::delete(&to)?;
            place::rename_new(&from, &to)?;
        }
        Ok::<_, std::io::Error>(there)
    });
    let there = there.await?;
    let gone = part.to_owned();
    let begun = claim.run(move || exists(&gone).and_then(|begun| tree::delete(&gone).map(|()| begun))).await?;
    Ok(json!({"removed": there || begun, "kept": []}))
}

//! `files.moveAside`: gives a file or folder another name beside its own, and can give it back.

use std::path::PathBuf;

use async_trait::async_trait;
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Left, Outcome, Role, Validation,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::{self, Beside, Claim, SetAside, blocking, exists};
use super::{Halt, aside, back, checked};
use crate::params;

/// Moves files aside.
#[derive(Debug)]
pub(crate) struct MoveAside;

/// The parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Params {
    /// The absolute path of the file, folder or link to move aside.
    path: PathBuf,
    /// Whether nothing at the path is fine; a failure unless `true`.
    #[serde(default)]
    missing_ok: bool,
}

impl Params {
    fn read(with: &Value) -> Result<Self, Failure> {
        let mut params: Self = params::read(with)?;
        params.path = checked("path", &params.path)?;
        Ok(params)
    }
}

#[async_trait]
impl Executor for MoveAside {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let params = Params::read(task.with).ok()?;
        match task.role {
            Role::Step => Some(aside(&params.path)),
            Role::Undo => {
                let moved = task.outputs.and_then(|outputs| outputs["movedTo"].as_str());
                moved.map(|moved| back(moved, &params.path))
            }
        }
    }

    fn describe(&self) -> Description {
        Description {
            name: "files.moveAside",
            summary: "Renames a file or folder to a name beside its own, and back.",
            params: params::schema::<Params>(),
            outputs: &[("from", "The path that is free now."), ("movedTo", "The new path; null if nothing was there.")],
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
        let path = params.path.clone();
        match blocking(move || exists(&path)).await {
            Err(error) => {
                Validation::Refused(Failure::caused(format!("cannot look at {}", params.path.display()), &error))
            }
            Ok(false) if role == Role::Step && !params.missing_ok => Validation::Refused(nothing(&params)),
            Ok(_) => Validation::Verified,
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
        let aside = place::aside(&params.path, Beside::Aside, cx.key());
        let (from, to) = (params.path.clone(), aside.clone());
        let from_name = params.path.display().to_string();
        match claim.run(move || place::set_aside(&from, &to)).await {
            Ok(SetAside::Now | SetAside::Before) => {
                Outcome::done(json!({"from": from_name, "movedTo": aside.display().to_string()}))
            }
            Ok(SetAside::Missing) if params.missing_ok => Outcome::done(json!({"from": from_name, "movedTo": null})),
            Ok(SetAside::Missing) => Outcome::untouched(nothing(&params)),
            // The rename may have been done, and only its flush have failed.
            Err(error) => Halt::io("move aside", &params.path, &error).into_outcome(Left::Possible),
        }
    }

    async fn undo(&self, cx: &ExecCx, with: &Value, _outputs: Option<&Value>) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        put_back(cx, &params.path, Beside::Aside).await
    }
}

fn nothing(params: &Params) -> Failure {
    Failure::new(format!("there is nothing at {} to move aside", params.path.display()))
        .hint("say `missingOk: true` if that is fine")
}

/// Gives the path back what the step took from it, if it took anything.
pub(super) async fn put_back(cx: &ExecCx, path: &std::path::Path, kind: Beside) -> Outcome {
    let claim = match Claim::on(cx, path).await {
        Ok(claim) => claim,
        Err(halt) => return halt.into_outcome(Left::Nothing),
    };
    let (at, key) = (path.to_owned(), cx.key().clone());
    let found =
        claim.run(move || Ok::<_, std::io::Error>((place::moved_by_step(&at, kind, &key)?, exists(&at)?))).await;
    match found {
        Err(error) => Halt::io("look beside", path, &error).into_outcome(Left::Nothing),
        Ok((None, _)) => Outcome::done(json!({"restored": false})),
        Ok((Some(aside), true)) => Outcome::untouched(
            Failure::new(format!(
                "something new is at {}, so {} cannot go back to its place",
                path.display(),
                aside.display()
            ))
            .hint("move the new one away, then retry the undo"),
        ),
        Ok((Some(aside), false)) => {
            let to = path.to_owned();
            match claim.run(move || place::rename_new(&aside, &to)).await {
                Ok(()) => Outcome::done(json!({"restored": true})),
                Err(error) => Halt::io("put back", path, &error).into_outcome(Left::Possible),
            }
        }
    }
}

//! `files.verify`: what is at a path, and whether it is what it should be. Changes nothing.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Left, Outcome, Role, Validation,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::blocking;
use super::{Halt, checked, go_on, quote_path, tree};
use crate::params;

/// Verifies files.
#[derive(Debug)]
pub(crate) struct Verify;

/// The parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Params {
    /// The absolute path to look at.
    path: PathBuf,
    /// Whether something must be there; `true` unless given.
    exists: Option<bool>,
    /// The SHA-256 that the content must have.
    sha256: Option<String>,
    /// The bytes that all files at the path must have together, at least.
    min_bytes: Option<u64>,
    /// The absolute path of a file or folder that must have the same content.
    equals: Option<PathBuf>,
}

impl Params {
    fn read(with: &Value) -> Result<Self, Failure> {
        let mut params: Self = params::read(with)?;
        params.path = checked("path", &params.path)?;
        params.equals = params.equals.map(|path| checked("equals", &path)).transpose()?;
        let about_content = params.sha256.is_some() || params.min_bytes.is_some() || params.equals.is_some();
        if params.exists == Some(false) && about_content {
            return Err(params::wrong("with `exists: false` there is no content to verify"));
        }
        if let Some(sum) = &params.sha256
            && (sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(params::wrong("`sha256` must be 64 hexadecimal digits"));
        }
        Ok(params)
    }
}

#[async_trait]
impl Executor for Verify {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let params = Params::read(task.with).ok()?;
        let path = quote_path(&params.path);
        if params.exists == Some(false) {
            return Some(format!("test ! -e {path}"));
        }
        let mut checks = vec![format!("test -e {path}")];
        if let Some(sum) = &params.sha256 {
            checks.push(format!("echo \"{sum}  \"{path} | sha256sum --check"));
        }
        if let Some(bytes) = params.min_bytes {
            checks.push(format!("test \"$(du -sb -- {path} | cut -f1)\" -ge {bytes}"));
        }
        if let Some(other) = &params.equals {
            checks.push(format!("diff -r -- {} {path}", quote_path(other)));
        }
        Some(checks.join(" && "))
    }

    fn describe(&self) -> Description {
        Description {
            name: "files.verify",
            summary: "Verifies that a file or folder is there, or not there, and has the expected content.",
            params: params::schema::<Params>(),
            outputs: &[
                ("exists", "Whether something is there."),
                ("bytes", "The bytes of all its files; null if nothing is there."),
                ("sha256", "The SHA-256 of its content, if `sha256` or `equals` asked for it; null otherwise."),
            ],
            effect: Effect::None,
            probes: false,
            undoes: false,
        }
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        Params::read(with).map_or_else(Validation::Refused, |_| Validation::Verified)
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        match verify(cx, &params).await {
            Ok(outputs) => Outcome::done(outputs),
            Err(halt) => halt.into_outcome(Left::Nothing),
        }
    }
}

async fn verify(cx: &CheckCx, params: &Params) -> Result<Value, Halt> {
    go_on(cx)?;
    let path = params.path.clone();
    let name = path.display().to_string();
    let about = blocking(move || std::fs::metadata(path)).await;
    let must_exist = params.exists.unwrap_or(true);
    match about {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if must_exist {
                return Err(Halt::failed(format!("{name} is not there")));
            }
            return Ok(json!({"exists": false, "bytes": null, "sha256": null}));
        }
        Err(error) => return Err(Halt::io("look at", &params.path, &error)),
        Ok(_) if !must_exist => return Err(Halt::failed(format!("{name} is there, and should not be"))),
        Ok(_) => {}
    }
    let path = params.path.clone();
    let entries = blocking(move || tree::list(&path)).await?;
    let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    if let Some(least) = params.min_bytes.filter(|least| bytes < *least) {
        return Err(Halt::failed(format!("{name} has {bytes} bytes, expected were at least {least}")));
    }
    let mut digest = None;
    if params.sha256.is_some() || params.equals.is_some() {
        let found = tree::digest(cx, &params.path).await?;
        if let Some(expected) = params.sha256.as_ref().filter(|expected| !expected.eq_ignore_ascii_case(&found)) {
            return Err(Halt::failed(format!("{name} has the SHA-256 {found}, expected was {expected}")));
        }
        if let Some(other) = &params.equals {
            let other_digest = tree::digest(cx, other).await?;
            if other_digest != found {
                return Err(Halt::failed(format!("{name} and {} have different content", other.display())));
            }
        }
        digest = Some(found);
    }
    Ok(json!({"exists": true, "bytes": bytes, "sha256": digest}))
}

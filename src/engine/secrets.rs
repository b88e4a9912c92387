//! Secrets: resolved at the last moment, redacted from everything that comes back.
//!
//! A secret `NAME` is looked up in this order: the variable `BASCULE_SECRET_NAME`; the file `NAME`
//! in the folder `BASCULE_SECRETS_DIR`; the program `BASCULE_SECRETS_COMMAND`, called with the name
//! as its only argument, which prints the value. One trailing newline of a file or a program is
//! dropped. No value ever enters an event, a plan, an expression or a log ([`Redactor`]), and no child
//! inherits those variables: the program sees the folder, never a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use bascule_plugin::{SECRET_PREFIX, SECRETS_COMMAND, SECRETS_DIR};

pub use super::redact::Redactor;
use crate::machine::fact::SecretAt;

/// Where secrets come from.
#[derive(Debug, Clone, Default)]
pub struct SecretSources {
    /// `NAME` → value, from variables.
    pub variables: BTreeMap<String, String>,
    /// A folder with one file per secret.
    pub folder: Option<PathBuf>,
    /// A program that prints the secret that it is asked for.
    pub program: Option<PathBuf>,
}

/// How long the program may take.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a secret is not there. Never holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nobody knows it.
    #[error(
        "secret `{0}` is not known: set {SECRET_PREFIX}{0}, or put it into {SECRETS_DIR}/{0}, or let {SECRETS_COMMAND} print it"
    )]
    Missing(String),
    /// A name that could leave the folder.
    #[error("`{0}` is no name of a secret: use letters, digits, `_`, `-` and `.`")]
    Name(String),
    /// Its file cannot be read.
    #[error("secret `{name}`: {path} cannot be read")]
    File {
        /// The secret.
        name: String,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its program failed.
    #[error("secret `{name}`: {program} {how}")]
    Program {
        /// The secret.
        name: String,
        /// The program.
        program: String,
        /// What happened.
        how: String,
    },
}

impl SecretSources {
    /// From an environment. What is not UTF-8 in it is nobody's secret: a step's parameters are text.
    #[must_use]
    pub fn from_environment(environment: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut sources = Self::default();
        let text = environment.filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        for (name, value) in text {
            match name.as_str() {
                SECRETS_DIR => sources.folder = Some(PathBuf::from(value)),
                SECRETS_COMMAND => sources.program = Some(PathBuf::from(value)),
                other => {
                    if let Some(name) = other.strip_prefix(SECRET_PREFIX) {
                        sources.variables.insert(name.to_owned(), value);
                    }
                }
            }
        }
        sources
    }

    /// The value of one secret.
    ///
    /// # Errors
    /// Not known, or its source failed.
    pub async fn get(&self, name: &str) -> Result<String, SecretError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(SecretError::Name(name.to_owned()));
        }
        if let Some(value) = self.variables.get(name) {
            return Ok(value.clone());
        }
        if let Some(folder) = &self.folder {
            let path = folder.join(name);
            match tokio::fs::read_to_string(&path).await {
                Ok(value) => return Ok(trim(value)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(SecretError::File { name: name.to_owned(), path: path.display().to_string(), source });
                }
            }
        }
        match &self.program {
            Some(program) => ask(program, name).await,
            None => Err(SecretError::Missing(name.to_owned())),
        }
    }

    /// Puts secrets into the parameters of a call; answers what must be redacted afterwards.
    ///
    /// # Errors
    /// The first one that is not there.
    pub async fn fill(&self, with: &mut Value, places: &[SecretAt]) -> Result<Redactor, SecretError> {
        let mut values = Vec::with_capacity(places.len());
        for place in places {
            let value = self.get(&place.name).await?;
            if let Some(slot) = with.pointer_mut(&place.at) {
                *slot = Value::String(value.clone());
            }
            values.push(value);
        }
        Ok(Redactor::new(&values))
    }
}

fn trim(mut value: String) -> String {
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    value
}

async fn ask(program: &std::path::Path, name: &str) -> Result<String, SecretError> {
    let failed =
        |how: String| SecretError::Program { name: name.to_owned(), program: program.display().to_string(), how };
    let mut command = tokio::process::Command::new(program);
    // It gives one secret at a time; those that the engine holds for other steps are not its business.
    let held = std::env::vars_os().map(|(name, _)| name);
    for other in held.filter(|name| name.as_encoded_bytes().starts_with(SECRET_PREFIX.as_bytes())) {
        command.env_remove(other);
    }
    command.arg(name).stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PROGRAM_TIMEOUT, command.output())
        .await
        .map_err(|_| failed(format!("did not answer within {} s", PROGRAM_TIMEOUT.as_secs())))?
        .map_err(|error| failed(format!("could not be started: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    String::from_utf8(output.stdout).map(trim).map_err(|_| failed("printed something that is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[tokio::test]
    async fn a_secret_comes_from_a_variable_a_file_or_a_program() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("FILE"), "from file\n").expect("a file");
        let not_text = ("BASCULE_SECRET_ODD".into(), OsStr::from_bytes(b"\xff").to_owned());
        let variables = [("BASCULE_SECRET_VAR".into(), "v".into()), not_text];
        let mut sources = SecretSources::from_environment(variables.into_iter());
        sources.folder = Some(folder.path().to_owned());
        sources.program = Some(PathBuf::from("/bin/echo"));
        assert_eq!(sources.get("VAR").await.expect("a variable"), "v");
        assert_eq!(sources.get("FILE").await.expect("a file"), "from file");
        assert_eq!(sources.get("OTHER").await.expect("a program"), "OTHER");
        assert!(matches!(sources.get("../FILE").await, Err(SecretError::Name(_))));
    }
}

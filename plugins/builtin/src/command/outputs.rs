//! The file in which a command leaves its outputs: one JSON object, or lines of `key=value`.

use std::io;
use std::path::{Path, PathBuf};

use bascule_plugin::{ExecCx, Failure};
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// Outputs are values for expressions and later steps, not data.
const LIMIT: u64 = 1024 * 1024;

/// Names that the executor itself gives.
const RESERVED: [&str; 2] = ["exitCode", "result"];

/// The path for the file, in a folder that exists, with no file from before.
///
/// `None` where the disk is too full for it, and nobody needs the outputs: the way back must not end there.
pub(super) async fn prepare(cx: &ExecCx) -> Result<Option<PathBuf>, Failure> {
    let scratch = cx.scratch();
    match make(scratch).await {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_full(&error) && cx.full_disk().goes_on => {
            cx.note("the disk is full: the command runs without a file for outputs").await;
            Ok(None)
        }
        Err(error) => {
            let folder = scratch.display();
            let failure =
                Failure::caused(format!("cannot use the attempt's folder {folder} for the outputs file"), &error);
            Err(if is_full(&error) { failure.hint("free some space there") } else { failure })
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

async fn make(scratch: &Path) -> io::Result<PathBuf> {
    // What a command hands back may hold secrets: nobody else reads there.
    let mut folder = tokio::fs::DirBuilder::new();
    folder.recursive(true).mode(0o700).create(scratch).await?;
    let file = scratch.join("outputs");
    match tokio::fs::remove_file(&file).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(file),
    }
}

/// Removes the file, whatever is in it.
pub(super) async fn remove(file: Option<&Path>) {
    let Some(file) = file else { return };
    // A command that wrote none left none.
    tokio::fs::remove_file(file).await.ok();
}

/// What the command left; nothing if it left no file.
pub(super) async fn read(path: Option<&Path>) -> Result<Map<String, Value>, Failure> {
    let Some(path) = path else { return Ok(Map::new()) };
    let cannot = |error: &io::Error| {
        Failure::caused(format!("the command succeeded, but its outputs file {} cannot be read", path.display()), error)
    };
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(cannot(&error)),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).await.map_err(|error| cannot(&error))?;
    parse(&bytes).map_err(|why| {
        Failure::new(format!("the command succeeded, but its outputs cannot be understood: {why}"))
            .hint("write one JSON object, or lines such as key=value, to the file named by BASCULE_OUTPUTS")
    })
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if bytes.len() as u64 > LIMIT {
        return Err("they are longer than 1 MiB".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("they are not UTF-8: {error}"))?;
    let text = text.trim_start_matches('\u{feff}');
    let outputs = if text.trim_start().starts_with(['{', '[']) {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("they are not valid JSON: {error}"))?;
        let Value::Object(outputs) = value else { return Err("they are JSON, but not an object".to_owned()) };
        outputs
    } else {
        lines(text)?
    };
    match RESERVED.iter().find(|name| outputs.contains_key(**name)) {
        Some(name) => Err(format!("the name `{name}` is taken by the executor itself")),
        None => Ok(outputs),
    }
}

fn lines(text: &str) -> Result<Map<String, Value>, String> {
    let mut outputs = Map::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let (key, value) = line.split_once('=').ok_or_else(|| format!("line {number} has no `=`"))?;
        let key = key.trim();
        let named = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !named {
            return Err(format!("line {number}: `{key}` is no name; use letters, digits, `_` and `-`"));
        }
        if outputs.insert(key.to_owned(), Value::from(value)).is_some() {
            return Err(format!("line {number}: `{key}` is given twice"));
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let read = |text: &str| parse(text.as_bytes()).map(Value::Object);
        assert_eq!(read(""), Ok(json!({})));
        assert_eq!(read("  {\"a\": [1, null]}\n"), Ok(json!({"a": [1, null]})));
        assert_eq!(
            read("# found\nvip=10.0.0.7\n\nurl=http://h/?a=b\r\n"),
            Ok(json!({"vip": "10.0.0.7", "url": "http://h/?a=b"}))
        );
        assert_eq!(read("\u{feff}{\"a\": 1}"), Ok(json!({"a": 1})));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &[u8]| parse(text).expect_err("it is wrong");
        assert!(error(b"{\"a\": 1").contains("not valid JSON"));
        assert!(error(b"[1]").contains("not an object"));
        assert!(error(b"a=1\nnonsense").contains("line 2 has no `=`"));
        assert!(error(b"a b=1").contains("`a b` is no name"));
        assert!(error(b"a=1\na=2").contains("given twice"));
        assert!(error(b"exitCode=0").contains("`exitCode` is taken"));
        assert!(error(b"\xff").contains("not UTF-8"));
        assert!(error(&vec![b'x'; 2 * 1024 * 1024]).contains("1 MiB"));
    }
}

//! How a person calls this program for the runs that it shows: a command that is offered must reach the same directory.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

use bascule_plugin::by_hand::quote;

/// What commands begin with wherever they are written down.
const PLAIN: &str = "bascule";

static CALL: OnceLock<String> = OnceLock::new();

/// Takes the state directory that the command line names, if it does: what is exported or the default is found again.
pub(super) fn remember(given: Option<&Path>) {
    let absolute = given.and_then(|state| std::path::absolute(state).ok());
    if let Some(state) = absolute.as_deref().and_then(Path::to_str) {
        // The first word of a process counts; there is only one.
        CALL.get_or_init(|| format!("{PLAIN} --state {}", quote(state)));
    }
}

/// A command as it is to be typed here.
pub(super) fn typed(command: &str) -> Cow<'_, str> {
    match (CALL.get(), command.strip_prefix(PLAIN).and_then(|rest| rest.strip_prefix(' '))) {
        (Some(call), Some(rest)) => format!("{call} {rest}").into(),
        (Some(_) | None, _) => command.into(),
    }
}

/// Verbs that look into no state directory.
const STATELESS: [&str; 11] =
    ["lint", "plan", "graph", "check", "catalog", "executors", "explain", "schema", "init", "demo", "completions"];

/// Words with commands in back quotes, as these are to be typed here.
pub(super) fn in_words(words: &str) -> Cow<'_, str> {
    let Some(call) = CALL.get() else { return words.into() };
    let plain = format!("`{PLAIN} ");
    let mut parts = words.split(&plain);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        let verb = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
        if STATELESS.contains(&verb) {
            text.push_str(&plain);
        } else {
            text.push_str(&format!("`{call} "));
        }
        text.push_str(rest);
    }
    text.into()
}

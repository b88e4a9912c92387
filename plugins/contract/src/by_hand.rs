//! What a person types at a shell to do what an executor would do.
//!
//! A night must be able to end without the engine: its machine may be gone. So every executor that can says its work as
//! lines of shell, which stand on a page that was written before ([`Executor::by_hand`](crate::Executor::by_hand)).
//! No secret is ever in them: a secret stands as the variable that holds it.

use serde_json::Value;

use crate::{IdempotencyKey, Role};

/// What is to be done by hand.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    /// The parameters. A secret stands as `${{ secrets.NAME }}`.
    pub with: &'a Value,
    /// Whether the step is performed, or taken back by this executor's own undo.
    pub role: Role,
    /// The outputs of the step, where it ran and is to be taken back.
    pub outputs: Option<&'a Value>,
    /// The key that the engine's own attempts have: with it a server knows them to be the same action.
    pub key: &'a IdempotencyKey,
}

const OPEN: &str = "${{ secrets.";
const CLOSE: &str = " }}";

/// How a secret stands in parameters that people read.
#[must_use]
pub fn placeholder(secret: &str) -> String {
    format!("{OPEN}{secret}{CLOSE}")
}

/// The variable that holds a secret in lines of shell: its name, with what no variable may hold replaced by `_`. Never
/// one that every shell has, such as `USER`.
#[must_use]
pub fn variable(secret: &str) -> String {
    let name: String = secret.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("SECRET_{name}")
}

/// What is said of lines that put a secret into JSON.
pub const ESCAPE: &str = "# escape quotes, backslashes and line ends of the secret as JSON does, before it is put in";

/// Whether lines of shell put a secret into a text that stands in JSON: then it must be escaped as JSON does.
#[must_use]
pub fn has_secret(line: &str) -> bool {
    line.contains("\"${SECRET_")
}

/// A text as one word of a POSIX shell; a secret's placeholder becomes its variable.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN)
        && let Some((name, behind)) = after.split_once(CLOSE)
    {
        push(&mut words, before);
        // A shell stops where it is not set: an empty secret is never what was meant.
        words.push_str(&format!("\"${{{}:?}}\"", variable(name)));
        rest = behind;
    }
    push(&mut words, rest);
    if words.is_empty() { "''".to_owned() } else { words }
}

fn push(words: &mut String, text: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if text.chars().all(is_plain) {
        words.push_str(text);
    } else {
        words.push('\'');
        // A browser makes a line end of a carriage return.
        words.push_str(&text.replace('\'', r"'\''").replace('\r', "'\"$(printf '\\r')\"'"));
        words.push('\'');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_and_a_secret_is_a_variable() {
        assert_eq!(quote("http://a:80/x"), "http://a:80/x");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's $HOME; rm -rf *"), r"'it'\''s $HOME; rm -rf *'");
        assert_eq!(quote(&format!("Bearer {}", placeholder("API.TOKEN"))), "'Bearer '\"${SECRET_API_TOKEN:?}\"");
        assert_eq!(quote("${{ secrets.OPEN"), "'${{ secrets.OPEN'");
        assert_eq!(variable("2nd-key"), "SECRET_2nd_key");
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let odd = "a'b\"c $(id) `id` \\ \n \r\r ü * ? ~ #";
        let out = std::process::Command::new("/bin/sh").args(["-c", &format!("printf %s {}", quote(odd))]).output();
        assert_eq!(String::from_utf8_lossy(&out.expect("a shell").stdout), odd);
    }
}

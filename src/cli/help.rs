//! Help texts as paragraphs: the width of a source line is not the width of a terminal.
//!
//! The texts of verbs are taken word for word, because their examples stand in lines of their own. What is no example
//! becomes one line here, so that it is broken once, where the terminal ends.

use clap::Command;

/// The same command with the long texts of all its verbs reflowed.
#[must_use]
pub(super) fn of(command: Command) -> Command {
    let text = command.get_long_about().map(|text| reflowed(&text.to_string()));
    let command = match text {
        Some(text) => command.long_about(text),
        None => command,
    };
    command.mut_subcommands(of)
}

/// Joins the lines of each paragraph; lines that begin with a space stay as they are.
fn reflowed(text: &str) -> String {
    let mut out = String::new();
    let mut joins = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !out.is_empty() {
            out.push(if joins && is_prose { ' ' } else { '\n' });
        }
        out.push_str(line);
        joins = is_prose;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::reflowed;

    #[test]
    fn prose_becomes_one_line_and_examples_stay() {
        let text = "Does it.\n\nAlong. The\nrunbook.\n\n  bascule a\n  bascule b";
        assert_eq!(reflowed(text), "Does it.\n\nAlong. The runbook.\n\n  bascule a\n  bascule b");
    }
}

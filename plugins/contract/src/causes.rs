//! Errors with their causes, in words.

use std::error::Error;

/// What an error and its sources say, outermost first.
#[must_use]
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut said = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        said.push(source.to_string());
        next = source.source();
    }
    said
}

/// An error and its causes on one line.
#[must_use]
pub fn on_one_line(error: &dyn Error) -> String {
    causes(error).into_iter().fold(String::new(), |text, said| {
        if text.is_empty() {
            said
        } else if text.ends_with(&said) {
            // An error that passes on what its source says repeats it.
            text
        } else {
            format!("{text}: {said}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the page cannot be read")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Passed(#[from] Outer);

    #[test]
    fn each_cause_is_said_once() {
        let error = Passed(Outer(std::io::Error::other("the disk is gone")));
        assert_eq!(on_one_line(&error), "the page cannot be read: the disk is gone");
        assert_eq!(causes(&Outer(std::io::Error::other("no"))), ["the page cannot be read", "no"]);
    }
}

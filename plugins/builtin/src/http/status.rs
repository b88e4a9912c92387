//! What the status of an answer says about the world.

use bascule_plugin::Left;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;

/// A status that is expected: `204`, or a class such as `2xx`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Expected {
    /// A status.
    Code(#[schemars(range(min = 100, max = 599))] u16),
    /// A class of statuses.
    Class(#[schemars(regex(pattern = r"^[1-5]xx$"))] String),
}

impl Expected {
    /// Whether it can ever be met.
    pub(super) fn is_possible(&self) -> bool {
        match self {
            Self::Code(code) => (100..600).contains(code),
            Self::Class(class) => matches!(class.as_bytes(), [b'1'..=b'5', b'x', b'x']),
        }
    }

    /// As it is written.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Code(code) => code.to_string(),
            Self::Class(class) => class.clone(),
        }
    }

    /// Whether the status is the one, or of the class.
    pub(super) fn is_met_by(&self, status: u16) -> bool {
        match self {
            Self::Code(code) => *code == status,
            Self::Class(class) => class.bytes().next().is_some_and(|digit| u16::from(digit - b'0') == status / 100),
        }
    }
}

/// Whether a request only reads (RFC 9110, 9.2.1).
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What a request left behind that was answered with a status that is no success.
///
/// A 4xx says that the server did not act. Two say less: with 408 it may have begun, and 409 may
/// mean that an earlier attempt has done it already. A redirect of the kind that means "done, look
/// there" may follow an effect; 307 and 308 mean "not here".
pub(super) fn left(method: &Method, status: u16) -> Left {
    if is_safe(method) {
        return Left::Nothing;
    }
    match status {
        408 | 409 => Left::Possible,
        307 | 308 | 400..=499 => Left::Nothing,
        _ => Left::Possible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_excludes_an_effect_says_nothing_was_left() {
        for status in [307, 308, 400, 401, 403, 404, 422, 429] {
            assert_eq!(left(&Method::POST, status), Left::Nothing, "{status}");
        }
        for status in [201, 302, 303, 408, 409, 500, 502, 503, 504] {
            assert_eq!(left(&Method::POST, status), Left::Possible, "{status}");
            assert_eq!(left(&Method::GET, status), Left::Nothing, "{status}");
        }
    }

    #[test]
    fn a_class_is_met_by_its_statuses() {
        let class = Expected::Class("2xx".to_owned());
        assert!(class.is_possible() && class.is_met_by(204) && !class.is_met_by(302));
        assert!(Expected::Code(409).is_met_by(409));
        assert!(!Expected::Class("9xx".to_owned()).is_possible());
        assert!(!Expected::Class("2x".to_owned()).is_possible());
        assert!(!Expected::Code(42).is_possible());
    }
}

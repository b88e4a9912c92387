//! Maps with known keys: duplicates, merge keys and unknown keys are found here, once for all of them.

use super::Reader;
use crate::runbook::codes;
use crate::runbook::keys::{self, Shape};
use crate::runbook::problem::{Problem, nearest};
use crate::runbook::source::{Span, Text};
use crate::runbook::yaml::{Content, Node};

/// A value and the key that it stands under.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) key: Span,
    pub(super) node: Node,
}

/// The entries of a map whose keys are known.
pub(super) struct Fields {
    pub(super) shape: Shape,
    pub(super) span: Span,
    entries: Vec<(Text, Node)>,
    /// Known keys that a misspelt one was taken for: saying that they are missing would be noise.
    meant: Vec<&'static str>,
}

impl Fields {
    /// Whether a key is written, or was meant by one that is misspelt.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| &*key.value == name) || self.meant.contains(&name)
    }

    /// Takes the value under a key.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Field> {
        let at = self.entries.iter().position(|(key, _)| &*key.value == name)?;
        let (key, node) = self.entries.swap_remove(at);
        Some(Field { name, key: key.span, node })
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        // A key that is listed and never read would be accepted and ignored: our bug, and a silent one.
        debug_assert!(
            self.entries.is_empty() || std::thread::panicking(),
            "the reader of {} does not read {:?}",
            self.shape.what,
            self.entries.iter().map(|(key, _)| key.value.clone()).collect::<Vec<_>>()
        );
    }
}

impl Reader<'_> {
    /// Opens a map with known keys.
    pub(super) fn fields(&mut self, node: Node, shape: Shape) -> Option<Fields> {
        let span = node.span;
        let Content::Map(_) = &node.content else {
            self.expected(&node, shape.what, &format!("{} must be a map", shape.what));
            return None;
        };
        let mut entries = self.entries(node);
        let mut meant = Vec::new();
        entries.retain(|(key, _)| {
            let known = shape.keys.contains(&&*key.value);
            if !known {
                meant.extend(self.unknown_key(key, shape));
            }
            known
        });
        Some(Fields { shape, span, entries, meant })
    }

    /// The entries of a map with any keys: without duplicates, keys as text. Empty if it is no map.
    pub(super) fn entries(&mut self, node: Node) -> Vec<(Text, Node)> {
        let Content::Map(pairs) = node.content else { return Vec::new() };
        let mut entries: Vec<(Text, Node)> = Vec::with_capacity(pairs.len());
        // A map of thousands of names is searched by hash, a step's dozen keys one after the other.
        let mut seen = (pairs.len() > 32).then(std::collections::HashMap::new);
        for (key, value) in pairs {
            let Some(key) = self.key(key) else { continue };
            let earlier = match &mut seen {
                Some(seen) => seen.insert(key.value.clone(), key.span),
                None => entries.iter().find(|(other, _)| other.value == key.value).map(|(other, _)| other.span),
            };
            match earlier {
                Some(first) => self.duplicate(&key, first),
                None => entries.push((key, value)),
            }
        }
        entries
    }

    fn key(&mut self, node: Node) -> Option<Text> {
        let problem = match node.content {
            Content::Scalar(scalar) if &*scalar.text == "<<" && !scalar.quoted => {
                Problem::new(codes::MERGE_KEY, "merge keys (`<<`) are not supported")
                    .at(node.span, "merge key")
                    .help("write the keys out, or define the step once in a catalog and name it")
                    .note("a merged key has no place of its own, and which value wins depends on the YAML library")
            }
            Content::Scalar(scalar) => return Some(Text::new(scalar.text, node.span)),
            Content::Null | Content::Seq(_) | Content::Map(_) => {
                Problem::new(codes::WRONG_TYPE, format!("a key must be text, found {}", node.kind()))
                    .at(self.head(node.span), format!("found {}", node.kind()))
                    .help("`{{ … }}` in YAML needs quotes around it")
            }
        };
        self.report(problem);
        None
    }

    pub(super) fn duplicate(&mut self, key: &Text, first: Span) {
        let problem = Problem::new(codes::DUPLICATE_KEY, format!("the key `{}` is written twice", key.value))
            .at(key.span, "written again here")
            .also(first, "first written here")
            .help("remove one of them");
        self.report(problem);
    }

    /// Reports a key that is not known, and gives the one that was probably meant.
    fn unknown_key(&mut self, key: &Text, shape: Shape) -> Option<&'static str> {
        let name = &*key.value;
        let mut problem = Problem::new(codes::UNKNOWN_KEY, format!("unknown key `{name}`"))
            .at(key.span, format!("not a key of {}", shape.what));
        let mut meant = None;
        if self.problems.is_full() {
            self.report(problem);
            return meant;
        }
        if shape == keys::OVERLAY && keys::RUNBOOK.keys.contains(&name)
            || shape == keys::OVERLAY_STEP && keys::STEP.keys.contains(&name)
            || shape == keys::OVERLAY_CRITERION && keys::CRITERION.keys.contains(&name)
        {
            problem = Problem::new(codes::OVERLAY_STRUCTURE, format!("an overlay may not set `{name}`"))
                .at(key.span, "changes the structure of the runbook")
                .help("change the runbook, or set single fields under `steps: { NAME: … }`");
        } else if let Some(near) = nearest(name, shape.keys.iter().copied()) {
            meant = Some(near);
            problem = problem.help(format!("did you mean `{near}`?"));
        } else if let Some(home) = keys::home_of(name, shape) {
            problem = problem.help(format!("`{name}` is a key of {}", home.what));
        } else if shape.keys.len() <= 12 {
            problem = problem.help(format!("{} has the keys {}", shape.what, listed(shape.keys)));
        } else {
            problem = problem.help(format!("`bascule schema {}` lists all keys", shape.schema.to_lowercase()));
        }
        self.report(problem);
        meant
    }
}

/// Words with backticks and commas.
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

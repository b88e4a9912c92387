//! Files become typed documents, or problems with places.
//!
//! PURE: it is given names and bytes; it never touches files, environment, network or clock, and never
//! prints. It checks what one document can tell about itself; what several tell together is the plan's.
//! Start with [`Documents`], then [`model`] (what documents are), [`read`] (how they are checked) and
//! [`yaml`] (how they are parsed). [`expr`] and [`template`] are used by the plan and the engine too.

pub mod codes;
mod decode;
pub mod duration;
pub mod expr;
pub mod instant;
pub mod keys;
pub mod model;
pub mod problem;
pub mod read;
pub mod reference;
pub mod render;
pub mod schema;
mod set;
pub mod source;
mod syntax;
pub mod template;
pub mod words;
pub mod yaml;

use std::collections::HashSet;

pub use decode::{MAX_BYTES, Unreadable};
pub use model::{Catalog, Overlay, Runbook, Site};
pub use problem::{Problem, Problems, Severity};
pub use source::{FileId, SourceMap, Span, Spanned, Text};

/// The files of one call, what was found wrong with them, and the documents in them.
///
/// Add files, ask for documents, hand [`Documents::sources`] and the documents to the compiler, add its
/// problems, and show them all at once with [`render::report`].
#[derive(Debug, Default)]
pub struct Documents {
    sources: SourceMap,
    problems: Problems,
    broken: HashSet<FileId>,
}

impl Documents {
    /// No files yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a file's bytes. A file that is no text is a problem; asking for a document in it gives none.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> FileId {
        let (file, problem) = decode::add(&mut self.sources, name, bytes);
        if let Some(problem) = problem {
            self.broken.insert(file);
            self.problems.push(problem);
        }
        file
    }

    /// Takes note of a file that could not be read.
    pub fn unreadable(&mut self, name: &str, why: &Unreadable) -> FileId {
        let (file, problem) = decode::unreadable(&mut self.sources, name, why);
        self.broken.insert(file);
        self.problems.push(problem);
        file
    }

    /// Takes note of a catalog that cannot be found: its name, where a runbook names it and which file was looked for
    /// (absent: on the command line), and the names of those that are shipped.
    pub fn catalog_not_found<'a>(
        &mut self,
        name: &'a str,
        written: Option<(Span, &str)>,
        shipped: impl Iterator<Item = &'a str>,
    ) {
        let mut problem = Problem::new(codes::CATALOG_NOT_FOUND, format!("there is no catalog `{name}`"))
            .suggest(name, shipped)
            .help("a catalog is named by its path, in a runbook as seen from there, or by the name of a shipped one")
            .help("`bascule catalog list` shows the shipped ones");
        if let Some((span, path)) = written {
            problem = problem.at(span, format!("looked for {path}"));
        }
        self.problems.push(problem);
    }

    /// The runbook in a file, as far as it can be read; its problems are kept.
    pub fn runbook(&mut self, file: FileId) -> Option<Runbook> {
        self.document(file, read::runbook)
    }

    /// The catalog in a file, as far as it can be read; its problems are kept.
    pub fn catalog(&mut self, file: FileId) -> Option<Catalog> {
        self.document(file, read::catalog)
    }

    /// The overlay in a file, as far as it can be read; its problems are kept.
    pub fn overlay(&mut self, file: FileId) -> Option<Overlay> {
        self.document(file, read::overlay)
    }

    /// The site document in a file, as far as it can be read; its problems are kept.
    pub fn site(&mut self, file: FileId) -> Option<Site> {
        self.document(file, read::site)
    }

    /// The overlay that a `--set KEY=VALUE` argument stands for; its problems are kept.
    pub fn set(&mut self, argument: &str) -> Option<Overlay> {
        let (overlay, problems) = set::overlay(&mut self.sources, argument);
        self.problems.append(problems);
        overlay
    }

    /// The path and the value of a `KEY=VALUE` argument; its problems are kept.
    pub fn pair(&mut self, argument: &str) -> Option<(Vec<String>, model::Data)> {
        let (pair, problems) = set::pair(&mut self.sources, argument);
        self.problems.append(problems);
        pair
    }

    fn document<T>(
        &mut self,
        file: FileId,
        reader: impl FnOnce(&SourceMap, FileId) -> (Option<T>, Problems),
    ) -> Option<T> {
        if self.broken.contains(&file) {
            return None;
        }
        let (document, problems) = reader(&self.sources, file);
        self.problems.append(problems);
        document
    }

    /// The files.
    #[must_use]
    pub fn sources(&self) -> &SourceMap {
        &self.sources
    }

    /// What was found so far.
    #[must_use]
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Adds what somebody else found in these files.
    pub fn report(&mut self, problems: Problems) {
        self.problems.append(problems);
    }

    /// The files and all problems in the order of their places.
    #[must_use]
    pub fn finish(mut self) -> (SourceMap, Problems) {
        self.problems.sort();
        (self.sources, self.problems)
    }
}

//! The codes of all problems that documents can have; `bascule explain CODE` prints the page of one.
//!
//! A code is never reused and never changes its meaning. Codes up to B0039 are given by the reader of the
//! documents, the others by the plan's compiler. Start with [`ALL`]; a new code needs a row in the
//! `codes!` table and a page in `docs/errors`.

use std::fmt;

/// The code of a problem.
#[derive(Clone, Copy)]
pub struct Code {
    /// Such as `B0007`.
    pub id: &'static str,
    /// One line, lower-case.
    pub title: &'static str,
    /// The page: what it means, an example, how to mend it.
    pub page: &'static str,
    /// Who finds it.
    pub found_by: FoundBy,
}

/// Who finds a problem, the cause before what may follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FoundBy {
    /// The reader, from one document alone.
    Reader,
    /// The compiler, from all documents together.
    Compiler,
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Code {}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// The code with this id; letter case does not matter.
#[must_use]
pub fn find(id: &str) -> Option<Code> {
    ALL.iter().find(|code| code.id.eq_ignore_ascii_case(id)).copied()
}

macro_rules! codes {
    ($($id:ident $name:ident $by:ident $title:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: Code = Code {
                id: stringify!($id),
                title: $title,
                page: include_str!(concat!("../../docs/errors/", stringify!($id), ".md")),
                found_by: FoundBy::$by,
            };
        )*

        /// All codes, ascending.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    B0001 UNREADABLE Reader "the file cannot be read";
    B0002 TOO_LARGE Reader "the file is larger than 10 MB";
    B0003 NOT_UTF8 Reader "the file is not UTF-8 text";
    B0004 EMPTY Reader "the document is empty";
    B0005 NOT_YAML Reader "the file is not valid YAML";
    B0006 TOO_DEEP Reader "the document is nested too deeply";
    B0007 TOO_MANY_NODES Reader "the document expands to too many values";
    B0008 MERGE_KEY Reader "merge keys (`<<`) are not supported";
    B0009 DUPLICATE_KEY Reader "a key is written twice";
    B0010 SEVERAL_DOCUMENTS Reader "the file holds several documents";
    B0011 AMBIGUOUS_WORD Reader "a word looks like a boolean and is not one";
    B0012 CUSTOM_TAG Reader "YAML tags are not supported";
    B0013 UNKNOWN_KEY Reader "the key is not known here";
    B0014 WRONG_TYPE Reader "the value has the wrong type";
    B0015 MISSING_KEY Reader "a required key is missing";
    B0016 UNKNOWN_WORD Reader "the value is not one of the words that the key accepts";
    B0017 BAD_DURATION Reader "the duration cannot be read";
    B0018 ABSURD_DURATION Reader "the duration is zero or absurd";
    B0019 NUMBER_OUT_OF_RANGE Reader "the number is out of range";
    B0020 BAD_TIME Reader "the time, interval or zone cannot be read";
    B0021 EXCLUSIVE_KEYS Reader "two keys exclude each other";
    B0022 BAD_NAME Reader "the name has characters that names may not have";
    B0023 BAD_QUANTITY Reader "the quantity cannot be read";
    B0024 WRONG_KIND Reader "the document is of another kind";
    B0025 OVERLAY_STRUCTURE Reader "an overlay may not change structure";
    B0026 BAD_SETTING Reader "the argument of `--set` cannot be read";
    B0027 BAD_EXPRESSION Reader "the expression cannot be read";
    B0028 EXPRESSION_TOO_LARGE Reader "the expression is too long or nested too deeply";
    B0029 BAD_TEMPLATE Reader "the placeholder cannot be read";
    B0030 MISPLACED_SECRET Reader "a secret stands where it may not";
    B0031 UNKNOWN_ROOT Reader "the expression names something that does not exist here";
    B0032 UNKNOWN_FUNCTION Reader "the expression calls a function that does not exist";
    B0033 TRIP_RULES Reader "a criterion needs exactly one trip rule";
    B0034 LOST_DIGITS Reader "a number will be written with other digits";
    B0040 UNKNOWN_STEP Compiler "no catalog knows the step";
    B0041 UNKNOWN_CRITERION Compiler "no catalog knows the criterion";
    B0042 DUPLICATE_ID Compiler "two steps have the same name";
    B0043 UNKNOWN_NEED Compiler "`needs` names a step that does not exist";
    B0044 NEED_ELSEWHERE Compiler "`needs` names a step of another list";
    B0045 CYCLE Compiler "steps wait for each other";
    B0046 MISSING_UNDO Compiler "a step with an effect has no undo";
    B0047 UNDEFINED_INPUT Compiler "an input is used and never given";
    B0048 INPUT_TYPE Compiler "an input or parameter has the wrong type";
    B0049 MISSING_PARAMETER Compiler "a required parameter is not given";
    B0050 UNKNOWN_PARAMETER Compiler "the definition has no such parameter";
    B0051 TWO_EXPOSING_STEPS Compiler "more than one step exposes the target";
    B0052 NO_EXPOSING_STEP Compiler "no step says that it exposes, and several could";
    B0053 EXPOSING_STEP_SKIPPABLE Compiler "the exposing step may be skipped";
    B0054 IRREVERSIBLE_WITHOUT_APPROVAL Compiler "an irreversible step is named by no approval";
    B0055 MISSING_PROBE Compiler "a step with effect `probe` has no probe";
    B0056 CATALOG_NOT_FOUND Compiler "the catalog cannot be found";
    B0057 UNKNOWN_EXECUTOR Compiler "the executor is not known";
    B0058 EXECUTOR_PARAMETERS Compiler "the executor refuses its parameters";
    B0059 OVERLAY_TARGET Compiler "an overlay names something that the runbook does not have";
    B0060 UNKNOWN_UNDO_NEED Compiler "`undo.needs` names no undo";
    B0061 OUTPUTS_BEFORE_STEP Compiler "an expression uses outputs of a step that does not come before";
    B0062 USERS_TO_DEAD_SOURCE Compiler "the way back would send users to a source that is not up";
    B0063 COMMIT_IRREVERSIBLE Compiler "the window may not commit irreversible steps by itself";
    B0064 MISSING_BASELINE Compiler "an expression uses a baseline that no check captures";
    B0065 PREPARE_TAKES_SOURCE_DOWN Compiler "a preparation step may not take the source down";
    B0066 CHECK_WITH_EFFECT Compiler "a check may not have an effect";
    B0067 NO_EXECUTOR Compiler "the step says nothing that could be run";
    B0068 NO_CUTOVER Compiler "the runbook has no cutover steps";
    B0069 ROLLBACK_LONGER_THAN_WINDOW Compiler "going back takes longer than the window";
    B0070 DATA_UNANSWERED Compiler "nobody says what happens to users' writes on the way back";
    B0071 EXPOSURE_ASSUMED Compiler "the exposing step was assumed";
    B0072 UNDO_ORDER Compiler "an edge of the way back was dropped";
    B0073 CATALOG_OVERRIDES_FOR Compiler "a catalog is used for platforms that it is not written for";
    B0074 UNVERIFIED_END Compiler "a condition of a safe end is proved by nothing";
    B0075 UNKNOWN_ESTIMATE Compiler "the length of the way back is unknown";
    B0076 EXPOSES_ELSEWHERE Compiler "only a cutover step can expose the target";
    B0077 EXPOSURE_UNDONE_LATE Compiler "clean-up would bring users back";
    B0078 UNPINNED_FILES Compiler "a command names files that the plan does not pin";
    B0079 UNDO_ONCE Compiler "an undo is not repeated after an interruption";
    B0080 CRITERION_TOO_SLOW Compiler "a criterion is slower than the window";
    B0081 DOWNTIME_OVER_BUDGET Compiler "the estimated downtime exceeds the budget";
    B0082 CHANGE_WINDOW_TOO_SHORT Compiler "there and back takes longer than the change window";
    B0083 EXPOSURE_NOT_UNDONE Compiler "nothing brings users back";
    B0084 TIMEOUT_BELOW_ESTIMATE Compiler "a step is interrupted before its estimate is over";
    B0085 CONSTANT_EXIT_CODE Compiler "the condition asks for an exit code that it never sees";
    B0086 CLAIMED_NAMES Compiler "an approval tells people apart by names that nobody verifies";
    B0087 NOT_BUILT_YET Compiler "the key is read, and not acted upon yet";
    B0088 CHANGE_WINDOW_OVER Compiler "the change window has ended";
}

//! Which keys each kind of map in a document has.
//!
//! The reader reads exactly these, and the JSON Schemas are tested against them. A new key is added here,
//! in the reader and in the schema; a test and a debug assertion notice if one of the three is missing.

/// A kind of map, with its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What it is, for messages: `a step`.
    pub what: &'static str,
    /// Its definition in the JSON Schema.
    pub schema: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [&'static str],
}

const SETTINGS_KEYS: [&str; 15] = [
    "rollbackWindowMinutes",
    "rollbackWindow",
    "windowFrom",
    "onWindowClose",
    "keepSource",
    "change",
    "downtimeBudget",
    "dataOnRollback",
    "contacts",
    "onFailure",
    "onRestart",
    "autoContinueWithin",
    "settleWithin",
    "startBy",
    "rollbackReadyEvery",
];

const SECTION_KEYS: [&str; 9] = [
    "preChecks",
    "prepareSteps",
    "cutoverSteps",
    "postChecks",
    "rollbackCriteria",
    "rollbackFence",
    "rollbackReady",
    "rollbackChecks",
    "commitSteps",
];

const CALL_KEYS: [&str; 2] = ["uses", "with"];

const BODY_KEYS: [&str; 28] = [
    "description",
    "when",
    "effect",
    "timeout",
    "onTimeout",
    "retry",
    "probe",
    "verify",
    "undo",
    "reason",
    "irreversible",
    "takesSourceDown",
    "movesData",
    "exposes",
    "retryPartial",
    "keepFresh",
    "estimate",
    "locks",
    "rehearsal",
    "pass",
    "validFor",
    "retryEvery",
    "every",
    "by",
    "recheck",
    "waivableBy",
    "baseline",
    "proves",
];

const SAMPLE_KEYS: [&str; 13] = [
    "description",
    "every",
    "warmUp",
    "timeout",
    "valid",
    "trip",
    "consecutive",
    "sustainedFor",
    "ratio",
    "minSamples",
    "maxAge",
    "action",
    "observeOnly",
];

/// Joins lists of keys when the program is compiled.
const fn join<const N: usize>(parts: &[&[&'static str]]) -> [&'static str; N] {
    let mut all = [""; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[at] = parts[part][index];
            at += 1;
            index += 1;
        }
        part += 1;
    }
    assert!(at == N, "the joined list has another length");
    all
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident = $what:literal, $schema:literal, $count:literal of [$($part:expr),* $(,)?];)*) => {
        $(
            $(#[$doc])*
            pub const $name: Shape = {
                const KEYS: [&str; $count] = join(&[$(&$part),*]);
                Shape { what: $what, schema: $schema, keys: &KEYS }
            };
        )*

        /// All of them.
        pub const ALL: &[Shape] = &[$($name),*];
    };
}

shapes! {
    /// The whole runbook.
    RUNBOOK = "a runbook", "Runbook", 36 of [
        ["kind", "application", "wave", "sourcePlatform", "sourceCluster", "targetPlatform", "targetCluster"],
        SETTINGS_KEYS,
        ["inputs", "catalogs", "requires", "locks", "signOffs"],
        SECTION_KEYS,
    ];
    /// The whole catalog.
    CATALOG = "a catalog", "Catalog", 8 of [
        ["kind", "description", "for", "verified", "params", "steps", "criteria", "defaults"],
    ];
    /// The whole overlay.
    OVERLAY = "an overlay", "Overlay", 19 of [["kind", "inputs"], SETTINGS_KEYS, ["steps", "criteria"]];
    /// The whole site document.
    SITE = "a site", "Site", 4 of [["kind", "capacities", "people", "channels"]];
    /// A step in a list of a runbook.
    STEP = "a step", "Step", 34 of [["id", "step", "params", "needs"], CALL_KEYS, BODY_KEYS];
    /// A step in a catalog.
    CATALOG_STEP = "a catalog's step", "CatalogStep", 34 of [
        ["side", "layer", "params", "needs"], CALL_KEYS, BODY_KEYS,
    ];
    /// A step in an overlay.
    OVERLAY_STEP = "an overlay's step", "OverlayStep", 31 of [["params"], CALL_KEYS, BODY_KEYS];
    /// A step that a person performs.
    MANUAL = "a manual step", "Manual", 21 of [
        ["manual", "id", "answer", "default", "roles"],
        ["description", "needs", "when", "effect", "timeout", "onTimeout", "verify", "undo", "reason", "irreversible",
         "takesSourceDown", "movesData", "exposes", "estimate", "locks", "proves"],
    ];
    /// A decision of people.
    APPROVAL = "an approval", "Approval", 11 of [
        ["approval", "description", "roles", "quorum", "notRequester", "expires", "remindEvery", "escalate", "relayed",
         "names", "needs"],
    ];
    /// A rung of an approval's ladder.
    ESCALATION = "an escalation", "Escalation", 2 of [["after", "to"]];
    /// Attempts and pauses.
    RETRY = "`retry`", "Retry", 3 of [["attempts", "backoff", "maxBackoff"]];
    /// How an interrupted attempt is judged.
    PROBE = "`probe`", "ProbeCall", 3 of [["uses", "with", "done"]];
    /// A call that proves something.
    VERIFY = "`verify`", "Verify", 3 of [["uses", "with", "pass"]];
    /// The way back of a step.
    UNDO = "`undo`", "UndoAction", 11 of [
        ["uses", "with", "cleanup", "keep", "effect", "needs", "estimate", "timeout", "retry", "verify", "byHand"],
    ];
    /// Other values for a rehearsal.
    REHEARSAL = "`rehearsal`", "Rehearsal", 1 of [["with"]];
    /// What is held.
    LOCK = "a lock", "LockClaim", 2 of [["name", "take"]];
    /// A criterion in a runbook.
    CRITERION = "a criterion", "Criterion", 18 of [["id", "criterion", "params"], CALL_KEYS, SAMPLE_KEYS];
    /// A criterion in a catalog.
    CATALOG_CRITERION = "a catalog's criterion", "CatalogCriterion", 18 of [
        ["side", "layer", "params"], CALL_KEYS, SAMPLE_KEYS,
    ];
    /// A criterion in an overlay.
    OVERLAY_CRITERION = "an overlay's criterion", "OverlayCriterion", 16 of [["params"], CALL_KEYS, SAMPLE_KEYS];
    /// `ratio`.
    RATIO = "`ratio`", "Ratio", 2 of [["fail", "of"]];
    /// `change`.
    CHANGE = "`change`", "Change", 3 of [["id", "window", "zone"]];
    /// `onRestart`.
    ON_RESTART = "`onRestart`", "OnRestart", 1 of [["resumeWithin"]];
    /// `dataOnRollback`, where it is not a word.
    DATA_ON_ROLLBACK = "`dataOnRollback`", "AcceptLossAnswer", 1 of [["acceptLoss"]];
    /// `acceptLoss`.
    ACCEPT_LOSS = "`acceptLoss`", "AcceptLoss", 2 of [["upTo", "reason"]];
    /// An entry of `requires`.
    REQUIREMENT = "an entry of `requires`", "Requirement", 3 of [["app", "state", "onItsRollback"]];
    /// An entry of `signOffs`.
    SIGN_OFF = "a sign-off", "SignOff", 3 of [["role", "what", "proves"]];
    /// `for` of a catalog.
    FOR = "`for`", "For", 2 of [["sourcePlatform", "targetPlatform"]];
    /// A declared parameter.
    PARAM = "a parameter", "Param", 4 of [["type", "required", "default", "description"]];
    /// `defaults` of a catalog.
    DEFAULTS = "`defaults`", "Defaults", 9 of [SECTION_KEYS];
    /// Somebody.
    PERSON = "a person", "Person", 3 of [["name", "roles", "reach"]];
}

/// The map in which a key would be at home, if it is known anywhere.
#[must_use]
pub fn home_of(key: &str, except: Shape) -> Option<Shape> {
    ALL.iter().find(|shape| **shape != except && shape.keys.contains(&key)).copied()
}

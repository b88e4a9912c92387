//! `audit verify`: finds any change or insertion, and a cut or a rewrite against heads that were kept elsewhere.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::Ctx;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::files;
use crate::store::verify::{Finding, KnownHead, VerifyReport, verify_export, verify_journal};
use crate::store::{Hash, Head, RunName, Snapshot};

/// Prove that a run log is what it was.
///
/// The journal, or a FILE that `audit export` wrote. Every line is checked against the one before it, every plan and
/// every attempt's log against its hash in the journal. A cut at the end and a history that was made up anew show only
/// against a head that was kept elsewhere: a report and an export carry one.
/// Exit 0: nothing is wrong. Exit 1: something is.
///
///   bascule audit verify --head billing-db/3:41:9f86d081…
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// A head that was kept elsewhere; as often as there are heads.
    #[arg(long = "head", value_name = "RUN:VERSION:HASH", value_parser = head)]
    heads: Vec<KnownHead>,
    /// An export; `-` is standard input. The journal unless given.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

fn head(text: &str) -> Result<KnownHead, String> {
    let wrong = || "a head is RUN:VERSION:HASH, as a report shows it".to_owned();
    let (rest, hash) = text.rsplit_once(':').ok_or_else(wrong)?;
    let (run, version) = rest.rsplit_once(':').ok_or_else(wrong)?;
    Ok(KnownHead {
        run: RunName::parse(run).map_err(|error| error.to_string())?,
        version: version.parse().map_err(|_| wrong())?,
        hash: Hash::from_hex(hash.as_bytes()).ok_or("the hash has 64 lower-case hexadecimal digits")?,
    })
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    what: String,
    sound: bool,
    transitions: u64,
    files: u64,
    confirmed: usize,
    heads: Vec<HeadView>,
    findings: Vec<FindingView>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadView {
    run: String,
    version: u64,
    hash: String,
    #[serde(rename = "final")]
    is_final: bool,
}

impl From<&Head> for HeadView {
    fn from(head: &Head) -> Self {
        Self { run: head.run.to_string(), version: head.version, hash: head.hash.to_string(), is_final: head.is_final }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingView {
    kind: &'static str,
    text: String,
}

/// Verifies.
pub(super) fn run(ctx: &Ctx, args: &Args) -> Result<Exit, CliError> {
    let answer = match &args.file {
        Some(file) => of_export(file, &args.heads)?,
        None => of_journal(&ctx.state, &args.heads)?,
    };
    let exit = if answer.sound { Exit::Done } else { Exit::Error };
    if ctx.ui.json {
        ctx.ui.json_data(&answer)?;
    } else {
        tell(ctx, &answer, args);
    }
    Ok(exit)
}

fn of_export(file: &Path, heads: &[KnownHead]) -> Result<Answer, CliError> {
    let failed = |error: std::io::Error| CliError::new(format!("{} cannot be read", file.display())).because(error);
    let mut reader: Box<dyn BufRead> = if file.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(std::fs::File::open(file).map_err(failed)?))
    };
    let report = verify_export(&mut *reader, heads).map_err(failed)?;
    if report.transitions == 0 && report.findings.is_empty() {
        return Err(
            CliError::new(format!("{} holds no export", file.display())).hint("`bascule audit export` writes one")
        );
    }
    Ok(answer(format!("export {}", file.display()), &report))
}

fn of_journal(state: &Path, heads: &[KnownHead]) -> Result<Answer, CliError> {
    if !crate::cli::look::has_journal(state)? {
        return Err(CliError::new(format!("there is no journal in {}", state.display()))
            .hint("name the state directory with --state, or an export as FILE"));
    }
    let failed = |error| CliError::new(format!("the journal in {} cannot be read", state.display())).because(error);
    let report = verify_journal(state, heads).map_err(failed)?;
    let snapshot = Snapshot::read(state).map_err(failed)?;
    let checked = files::check(state, &snapshot).map_err(failed)?;
    let mut answer = answer(format!("journal of {}", state.display()), &report);
    answer.files = checked.sound;
    answer.sound &= checked.wrong.is_empty();
    answer.findings.extend(checked.wrong.into_iter().map(|text| FindingView { kind: "file", text }));
    answer.notes.extend(checked.absent);
    Ok(answer)
}

fn answer(what: String, report: &VerifyReport) -> Answer {
    let finding = |finding: &Finding| FindingView { kind: kind(finding), text: finding.to_string() };
    Answer {
        what,
        sound: report.is_sound(),
        transitions: report.transitions,
        files: 0,
        confirmed: report.confirmed,
        heads: report.heads.iter().map(HeadView::from).collect(),
        findings: report.findings.iter().map(finding).collect(),
        notes: report.notes.clone(),
    }
}

fn kind(finding: &Finding) -> &'static str {
    match finding {
        Finding::Damaged(_) => "damaged",
        Finding::Stopped(_) => "stopped",
        Finding::Repeated(_) => "repeated",
        Finding::Cut { .. } => "cut",
        Finding::Rewritten { .. } => "rewritten",
        Finding::Gone(_) => "pruned",
        Finding::BadLine { .. } => "badLine",
    }
}

fn tell(ctx: &Ctx, answer: &Answer, args: &Args) {
    let ui = ctx.ui;
    let files = if args.file.is_none() { format!(", {} files", answer.files) } else { String::new() };
    ui.line(&format!("{}: {} transitions{files} checked", answer.what, answer.transitions));
    answer.findings.iter().for_each(|finding| ui.line(&format!("WRONG  {}", finding.text)));
    answer.notes.iter().for_each(|note| ui.line(&format!("note   {note}")));
    if !args.heads.is_empty() {
        ui.line(&format!("{} of {} heads that were kept elsewhere are confirmed", answer.confirmed, args.heads.len()));
    }
    if answer.sound {
        ui.line("nothing was changed or put in");
    }
    if args.heads.is_empty() {
        ui.line("a cut at the end, or a history made up anew, shows only against a head that was kept elsewhere; now:");
        for head in &answer.heads {
            ui.line(&format!("  {}:{}:{}", head.run, head.version, head.hash));
        }
    }
    if answer.findings.iter().any(|finding| matches!(finding.kind, "damaged" | "stopped")) {
        ui.say("`bascule repair` explains what that means for each run");
    }
}

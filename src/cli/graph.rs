//! `graph`: the picture of a plan.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::inputs::{self, Desk, ExtraArgs, InputArgs};
use super::report;
use crate::plan::{Plan, draw};
use crate::store::RunName;

/// Draw the plan of a runbook, or of a run with what became of it: phases, order, exposure, and the way back.
///
/// SVG is for people and change boards, Mermaid for documents that draw it themselves, DOT for Graphviz.
///
///   bascule graph runbook.yaml -o plan.svg
///   bascule graph billing-db/3 --format mermaid
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A runbook (`-` reads it from standard input), or a run as `application/number`.
    #[arg(value_name = "FILE|RUN")]
    what: String,
    #[command(flatten)]
    extra: ExtraArgs,
    /// How it is drawn [default: as the name after -o says, else mermaid].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write it to a file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For Markdown documents.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A picture.
    Svg,
}

impl Format {
    fn of(args: &Args) -> Result<Self, CliError> {
        if let Some(format) = args.format {
            return Ok(format);
        }
        let Some(path) = &args.output else { return Ok(Self::Mermaid) };
        match path.extension().and_then(|end| end.to_str()).unwrap_or("") {
            "svg" => Ok(Self::Svg),
            "dot" | "gv" => Ok(Self::Dot),
            "mmd" | "mermaid" | "md" | "txt" | "" => Ok(Self::Mermaid),
            other => Err(CliError::usage(format!("no picture is written as `.{other}`"))
                .hint("end the file's name in .svg, .dot or .mmd, or say --format")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mermaid => "mermaid",
            Self::Dot => "dot",
            Self::Svg => "svg",
        }
    }

    fn draw(self, plan: &Plan, look: &draw::Look) -> String {
        match self {
            Self::Mermaid => draw::mermaid(plan, look),
            Self::Dot => draw::dot(plan, look),
            Self::Svg => draw::svg(plan, look),
        }
    }
}

/// Draws.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let format = Format::of(&args)?;
    if format == Format::Svg && args.output.is_none() && !ctx.ui.json && std::io::stdout().is_terminal() {
        return Err(CliError::usage("a picture is not for a terminal").hint("write it to a file: -o plan.svg"));
    }
    let run = if args.what == "-" || Path::new(&args.what).exists() { None } else { RunName::parse(&args.what).ok() };
    let (picture, documents) = match run {
        Some(run) => {
            let account = report::account(&ctx.state, &run)?;
            let look = crate::report::look(&account)
                .map_err(|error| CliError::new(format!("run {run} cannot be drawn")).because(error))?;
            (format.draw(&account.plan, &look), None)
        }
        None => {
            let inputs = InputArgs { runbook: args.what.clone(), extra: args.extra.clone() };
            let (planned, history) = Desk::new().plan(ctx, &inputs).await?;
            (format.draw(&planned.plan, &draw::Look { history, ..draw::Look::default() }), Some(planned))
        }
    };
    match &args.output {
        None if ctx.ui.json => {
            ctx.ui.json_data(&serde_json::json!({ "format": format.name(), "picture": picture }))?;
        }
        None => ctx.ui.data(&picture),
        Some(path) => {
            std::fs::write(path, &picture)
                .map_err(|error| CliError::new(format!("{} cannot be written", path.display())).because(error))?;
            if ctx.ui.json {
                let file = path.display().to_string();
                ctx.ui.json_data(&serde_json::json!({ "format": format.name(), "file": file }))?;
            } else {
                ctx.ui.say(&format!("wrote {}", path.display()));
            }
        }
    }
    if let Some(planned) = documents.filter(|_| !ctx.ui.json) {
        inputs::show_short(ctx, &planned.sources, &planned.problems);
    }
    Ok(Exit::Done)
}

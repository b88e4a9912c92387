//! The verbs: one short file each. A verb is `Args` and `run`; adding one is a file and an arm here.

mod accept;
mod amend;
mod approve;
mod audit;
mod call;
mod cancel;
mod catalog;
mod check;
pub mod client;
mod close;
mod commit;
mod completions;
mod confirm_clock;
mod criteria;
mod decide;
#[cfg(feature = "lab")]
mod demo;
mod engine;
pub mod error;
mod events;
mod executors;
pub mod exit;
mod explain;
mod extend;
mod foreground;
mod graph;
mod handout;
mod help;
mod init;
pub mod inputs;
#[cfg(feature = "lab")]
mod lab;
mod lint;
mod live;
mod logs;
pub mod look;
mod lost;
mod note;
mod notify;
mod offline;
mod outlet_args;
pub mod owner;
mod pause;
mod plain;
mod plan;
mod reject;
mod repair;
mod report;
mod resolve;
mod resume;
mod retry;
mod rollback;
mod run;
mod schema;
pub mod screen;
mod signals;
mod skip;
mod spawn;
mod status;
mod style;
mod target;
mod text;
pub mod ui;
mod undo;
pub mod voice;
mod waive;
mod watch;
pub mod when;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bascule_plugin::causes;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use error::CliError;
use exit::Exit;
use ui::Ui;

/// Runs migration runbooks durably, watches the result, and goes back by itself.
#[derive(Debug, Parser)]
#[command(name = "bascule", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// The state directory: runs, journal, logs [default: $BASCULE_STATE, else $XDG_STATE_HOME/bascule].
    // Not `env`: with the variable set, usage lines would show it as if every verb needed it.
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Print data as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the doc comment of each verb's `Args` is its help text")]
pub enum Verb {
    Init(init::Args),
    Lint(lint::Args),
    Plan(plan::Args),
    Check(check::Args),
    Graph(graph::Args),
    Run(run::Args),
    Go(resume::GoArgs),
    Resume(resume::Args),
    Status(status::Args),
    Watch(watch::Args),
    Events(events::Args),
    Logs(logs::Args),
    Report(report::Args),
    Handout(handout::Args),
    Notify(notify::Args),
    Note(note::Args),
    Pause(pause::Args),
    Extend(extend::Args),
    Amend(amend::Args),
    Retry(retry::Args),
    Skip(skip::Args),
    Waive(waive::Args),
    Resolve(resolve::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Cancel(cancel::Args),
    Rollback(rollback::Args),
    Undo(undo::Args),
    Window(window::Args),
    Criteria(criteria::Args),
    SignOff(note::SignOffArgs),
    Commit(commit::Args),
    Accept(accept::Args),
    Close(close::Args),
    Take(note::TakeArgs),
    Handover(note::HandoverArgs),
    ConfirmClock(confirm_clock::Args),
    Audit(audit::Args),
    Repair(repair::Args),
    #[command(hide = true)]
    Engine(engine::Args),
    Executors(executors::Args),
    Catalog(catalog::Args),
    Schema(schema::Args),
    Explain(explain::Args),
    #[cfg(feature = "lab")]
    Demo(demo::Args),
    Completions(completions::Args),
    #[cfg(feature = "lab")]
    Lab(lab::Args),
}

/// What every verb gets.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// How to speak.
    pub ui: Ui,
    /// The state directory.
    pub state: PathBuf,
    /// The same, if the command line names it. A directory that was exported for real runs is not for a demo.
    pub given_state: Option<PathBuf>,
}

/// The command line; one without a word asks for help, whatever the environment says.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.len() == 1 {
        arguments.push("help".into());
    }
    arguments
}

/// Parses the command line and runs the verb.
#[must_use]
pub fn main() -> ExitCode {
    let parsed =
        help::of(Cli::command()).try_get_matches_from(arguments()).and_then(|seen| Cli::from_arg_matches(&seen));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody reads: then nobody misses the help.
            drop(error.print());
            return code.into();
        }
    };
    let named = || std::env::var_os("BASCULE_STATE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let ctx = Ctx {
        ui: Ui { json: cli.json, yes: false },
        state: cli.state.clone().or_else(named).unwrap_or_else(default_state),
        given_state: cli.state,
    };
    call::remember(ctx.given_state.as_deref());
    if let Err(error) = check_expanded(&ctx.state) {
        return show(&ctx, &error);
    }
    // The lab starts a runtime of its own kind.
    #[cfg(feature = "lab")]
    if let Verb::Lab(args) = &cli.verb {
        return lab::run(args);
    }
    match in_runtime(&ctx, cli.verb) {
        Ok(exit) => exit.into(),
        Err(error) => show(&ctx, &error),
    }
}

/// A `~` that no shell has expanded would become a folder of that name.
fn check_expanded(state: &std::path::Path) -> Result<(), CliError> {
    let first = state.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
    match first.filter(|first| first.starts_with('~')) {
        None => Ok(()),
        Some(first) => {
            let state = state.display();
            Err(CliError::usage(format!(
                "the state directory {state} begins with `{first}`, which no shell has expanded"
            ))
            .hint(format!("write $HOME or the whole path; `./{state}` means a folder of that name")))
        }
    }
}

/// Diagnostics for whoever asks with `RUST_LOG`; to stderr, never among data.
fn trace() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_default_env() else { return };
    let asked = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    // Somebody else collects them already.
    drop(asked);
}

/// How long a thread that still reads or writes something keeps the process.
const LAST_THREADS: Duration = Duration::from_secs(3);

fn in_runtime(ctx: &Ctx, verb: Verb) -> Result<Exit, CliError> {
    trace();
    // Somebody else may have installed a provider: then there is one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::new("the program cannot start its threads").because(error))?;
    let done = runtime.block_on(perform(ctx, verb));
    // All that matters was awaited. What is left hangs in a disk that does not answer, as a handout's folder may.
    runtime.shutdown_timeout(LAST_THREADS);
    done
}

async fn perform(ctx: &Ctx, verb: Verb) -> Result<Exit, CliError> {
    match verb {
        Verb::Init(args) => init::run(ctx, args).await,
        Verb::Lint(args) => lint::run(ctx, args).await,
        Verb::Plan(args) => plan::run(ctx, args).await,
        Verb::Check(args) => check::run(ctx, args).await,
        Verb::Graph(args) => graph::run(ctx, args).await,
        Verb::Run(args) => run::run(ctx, args).await,
        Verb::Go(args) => resume::go(ctx, args).await,
        Verb::Resume(args) => resume::run(ctx, args).await,
        Verb::Status(args) => status::run(ctx, args).await,
        Verb::Watch(args) => watch::run(ctx, args).await,
        Verb::Events(args) => events::run(ctx, args).await,
        Verb::Logs(args) => logs::run(ctx, args).await,
        Verb::Report(args) => report::run(ctx, args).await,
        Verb::Handout(args) => handout::run(ctx, args).await,
        Verb::Notify(args) => notify::run(ctx, args).await,
        Verb::Note(args) => note::run(ctx, args).await,
        Verb::Pause(args) => pause::run(ctx, args).await,
        Verb::Extend(args) => extend::run(ctx, args).await,
        Verb::Amend(args) => amend::run(ctx, args).await,
        Verb::Retry(args) => retry::run(ctx, args).await,
        Verb::Skip(args) => skip::run(ctx, args).await,
        Verb::Waive(args) => waive::run(ctx, args).await,
        Verb::Resolve(args) => resolve::run(ctx, args).await,
        Verb::Approve(args) => approve::run(ctx, args).await,
        Verb::Reject(args) => reject::run(ctx, args).await,
        Verb::Cancel(args) => cancel::run(ctx, args).await,
        Verb::Rollback(args) => rollback::run(ctx, args).await,
        Verb::Undo(args) => undo::run(ctx, args).await,
        Verb::Window(args) => window::run(ctx, args).await,
        Verb::Criteria(args) => criteria::run(ctx, args).await,
        Verb::SignOff(args) => note::sign_off(ctx, args).await,
        Verb::Commit(args) => commit::run(ctx, args).await,
        Verb::Accept(args) => accept::run(ctx, args).await,
        Verb::Close(args) => close::run(ctx, args).await,
        Verb::Take(args) => note::take(ctx, args).await,
        Verb::Handover(args) => note::handover(ctx, args).await,
        Verb::ConfirmClock(args) => confirm_clock::run(ctx, args).await,
        Verb::Audit(args) => audit::run(ctx, args).await,
        Verb::Repair(args) => repair::run(ctx, args).await,
        Verb::Engine(args) => engine::run(ctx, args).await,
        Verb::Executors(args) => executors::run(ctx, args).await,
        Verb::Catalog(args) => catalog::run(ctx, args).await,
        Verb::Schema(args) => schema::run(ctx, args).await,
        Verb::Explain(args) => explain::run(ctx, args).await,
        Verb::Completions(args) => completions::run(ctx, args).await,
        #[cfg(feature = "lab")]
        Verb::Demo(args) => demo::run(ctx, args).await,
        #[cfg(feature = "lab")]
        Verb::Lab(_) => Err(CliError::usage("the lab is started before anything else")),
    }
}

/// `$XDG_STATE_HOME/bascule`, or `~/.local/state/bascule`.
/// Never one that depends on the working directory: the next shell would not find the runs.
fn default_state() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || set("HOME").or_else(crate::server::peer::home).map(|home| home.join(".local/state"));
    set("XDG_STATE_HOME").or_else(home).unwrap_or_else(|| PathBuf::from("/var/lib")).join("bascule")
}

/// What happened, why, what to do next.
fn show(ctx: &Ctx, error: &CliError) -> ExitCode {
    if error.shown {
        return error.exit.into();
    }
    let because = std::error::Error::source(error).map(causes).unwrap_or_default();
    if ctx.ui.json {
        // Standard output holds data of the verb's own shape or nothing.
        ctx.ui.say(&serde_json::json!({ "error": error.what, "because": because, "help": error.hints }).to_string());
        return error.exit.into();
    }
    ctx.ui.say(&format!("error: {}", error.what));
    for cause in because {
        ctx.ui.say(&format!("  because {cause}"));
    }
    for hint in &error.hints {
        ctx.ui.say(&format!("  help: {hint}"));
    }
    error.exit.into()
}

//! The verbs of the lab's own command line, which the main program carries under `lab`.
//!
//! `vm` and `users-process` are for the lab itself: they speak on standard input and are hidden. Start with [`cli`].

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::faults::{Fault, FaultKind};
use crate::launch::{Lab, LaunchError, fault_kind};
use crate::serve::{LabOptions, serve};
use crate::users::run_users;
use crate::verify::verify_orders;
use crate::vm::run_vm;
use crate::window::Side;

/// A small data centre on loopback.
#[derive(Debug, Parser)]
#[command(name = "lab", no_binary_name = true, disable_version_flag = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a lab in this process until it is told to stop.
    Serve {
        /// Where everything of the lab is kept.
        #[arg(long)]
        dir: PathBuf,
        /// The application in the machines.
        #[arg(long, default_value = "customer-analytics-api")]
        application: String,
        /// The machine that moves.
        #[arg(long, default_value = "analytics-01")]
        vm: String,
        /// TTL of the DNS record in a new lab, in seconds.
        #[arg(long, default_value_t = 30)]
        dns_ttl: u32,
        /// Orders on the source's disk of a new lab.
        #[arg(long, default_value_t = 500)]
        orders: usize,
        /// How often backups run, in milliseconds.
        #[arg(long, default_value_t = 5000)]
        backup_every_ms: u64,
        /// Lead a session of one's own, deaf to the caller's terminal.
        #[arg(long)]
        own_session: bool,
    },
    /// Stop a lab and everything in it.
    Stop {
        /// The lab's folder.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Show where everything is.
    Show {
        /// The lab's folder.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Start a fault.
    Fault {
        /// The lab's folder.
        #[arg(long)]
        dir: PathBuf,
        /// source, target, lb, dns, backup, metrics or vm:NAME.
        target: String,
        /// latency, errors, hang, refuse, lie, lose-answer or disk-full.
        #[arg(value_parser = |word: &str| fault_kind(word).ok_or("no such kind of fault"))]
        kind: FaultKind,
        /// Milliseconds of latency, or the fraction of errors.
        #[arg(long)]
        value: Option<f64>,
        /// How many requests it strikes.
        #[arg(long)]
        count: Option<u64>,
    },
    /// End all faults.
    Heal {
        /// The lab's folder.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Let users order until `send-home`.
    Users {
        /// The lab's folder.
        #[arg(long)]
        dir: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 4)]
        writers: u32,
        /// Pause between two orders of one user, in milliseconds.
        #[arg(long, default_value_t = 50)]
        every_ms: u64,
    },
    /// Send the users home and show what they saw.
    SendHome {
        /// The lab's folder.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Prove that every acknowledged order is on a side's disk; exit 1 if one is missing.
    Verify {
        /// The lab's folder.
        #[arg(long)]
        dir: PathBuf,
        /// source or target.
        #[arg(value_parser = |word: &str| crate::platform_api::side_of(word).ok_or("source or target"))]
        side: Side,
    },
    #[command(hide = true)]
    Vm,
    #[command(hide = true)]
    UsersProcess,
}

/// Performs `args` and answers the exit code. `prefix` is what stands before them on the command line, such as `["lab"]`:
/// the lab starts its machines with it. Must be called before any runtime is started.
pub fn cli(prefix: &[&str], args: impl IntoIterator<Item = String>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and errors print themselves; a closed terminal is no reason to fail differently.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    if matches!(&args.verb, Verb::Serve { own_session: true, .. })
        && let Err(error) = rustix::process::setsid()
    {
        return failed(&format!("cannot lead a session: {error}"));
    }
    let light = matches!(&args.verb, Verb::Vm | Verb::UsersProcess);
    let mut builder =
        if light { tokio::runtime::Builder::new_current_thread() } else { tokio::runtime::Builder::new_multi_thread() };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    runtime.block_on(perform(prefix, args.verb))
}

async fn perform(prefix: &[&str], verb: Verb) -> ExitCode {
    match verb {
        Verb::Vm => run_vm().await,
        Verb::UsersProcess => run_users().await,
        Verb::Serve { dir, application, vm, dns_ttl, orders, backup_every_ms, own_session: _ } => {
            let options = LabOptions { application, vm, dns_ttl, orders, backup_every_ms };
            let ready = |site: &crate::site::Site| out(site);
            finish(serve(&dir, prefix, &options, ready).await)
        }
        Verb::Verify { dir, side } => match verify_orders(&dir, side) {
            Ok(report) if report.is_kept() => finish(out(&report)),
            Ok(report) => {
                drop(out(&report));
                failed(&format!("{} of {} acknowledged orders are missing", report.missing.len(), report.acked))
            }
            Err(error) => failed(&error.to_string()),
        },
        Verb::Stop { .. }
        | Verb::Show { .. }
        | Verb::Fault { .. }
        | Verb::Heal { .. }
        | Verb::Users { .. }
        | Verb::SendHome { .. } => finish(ask(verb).await),
    }
}

/// The verbs that talk to a lab that runs.
async fn ask(verb: Verb) -> Result<(), LaunchError> {
    match verb {
        Verb::Stop { dir } => Lab::connect(&dir).await?.stop().await?,
        Verb::Show { dir } => drop(out(&Lab::connect(&dir).await?.site)),
        Verb::Fault { dir, target, kind, value, count } => {
            let fault = Fault { id: 0, target, kind, value, count };
            drop(out(&Lab::connect(&dir).await?.inject(&fault).await?));
        }
        Verb::Heal { dir } => Lab::connect(&dir).await?.heal(None).await?,
        Verb::Users { dir, writers, every_ms } => Lab::connect(&dir).await?.start_users(writers, every_ms).await?,
        Verb::SendHome { dir } => drop(out(&Lab::connect(&dir).await?.stop_users().await?)),
        Verb::Serve { .. } | Verb::Verify { .. } | Verb::Vm | Verb::UsersProcess => {}
    }
    Ok(())
}

fn finish<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(one) = cause {
                text = format!("{text}: {one}");
                cause = one.source();
            }
            failed(&text)
        }
    }
}

fn failed(message: &str) -> ExitCode {
    // There is nobody else to tell.
    drop(writeln!(std::io::stderr().lock(), "lab: {message}"));
    ExitCode::FAILURE
}

/// One line of JSON on standard output.
fn out(value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush())
}

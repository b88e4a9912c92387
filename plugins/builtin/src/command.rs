//! `command`: runs a local program or a line of shell.
//!
//! Whether a command changed anything cannot be seen from outside, so every end but success, and
//! every end but a failed start, counts as a possible effect, and the declared effect is `once`
//! unless the author of the step knows better. Start with [`Command::execute`].

mod listen;
mod outputs;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bascule_plugin::by_hand::{ESCAPE, has_secret, quote};
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Left, Outcome, Role, Stop, Validation,
};
use rustix::fs::Access;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::params;
use crate::period::Period;
use crate::proc_table::group_file;
use crate::process::{self, Ended, GroupEnd, Launch, Note, Taps};
use crate::word::Word;

use listen::Listener;

/// With the time after KILL it stays below what an attempt has for its end ([`bascule_plugin::STOP_LIMIT`]).
const LONGEST_TERMINATION: Duration = Duration::from_secs(45);

/// The variable that names the file for outputs.
const OUTPUTS_VARIABLE: &str = "BASCULE_OUTPUTS";

/// Runs a local program.
#[derive(Debug)]
pub(crate) struct Command;

/// The parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Params {
    /// The program and its arguments, started without a shell. Either this or `shell`.
    argv: Option<Vec<Word>>,
    /// A script for `/bin/sh -c`. Either this or `argv`.
    shell: Option<String>,
    /// Variables on top of the engine's own environment.
    #[serde(default)]
    env: BTreeMap<String, Word>,
    /// The folder to start in, as an absolute path.
    cwd: Option<PathBuf>,
    /// A value that the program reads from its standard input, as JSON.
    stdin: Option<Value>,
    /// A text that the program reads from its standard input, as it is.
    stdin_text: Option<String>,
    /// `json`: standard output is one JSON value, returned as the output `result`.
    parse: Option<Parse>,
    /// The exit codes that mean success; `[0]` unless given.
    success_codes: Option<Vec<i32>>,
    /// The time between TERM and KILL when the command must stop; `10s` unless given, at most `45s`.
    #[schemars(extend("x-maxDuration" = "45s"))]
    terminate_after: Option<Period>,
}

/// What standard output is.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Parse {
    /// One JSON value.
    Json,
}

impl Params {
    fn read(with: &Value) -> Result<Self, Failure> {
        let params: Self = params::read(with)?;
        match (&params.argv, &params.shell) {
            (Some(_), Some(_)) => return Err(params::wrong("`argv` and `shell` are both given; give one")),
            (None, None) => return Err(params::wrong("`argv` or `shell` is missing")),
            (Some(argv), None) if argv.first().is_none_or(|program| program.0.is_empty()) => {
                return Err(params::wrong("`argv` is empty; its first entry is the program"));
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        if params.stdin.is_some() && params.stdin_text.is_some() {
            return Err(params::wrong("`stdin` and `stdinText` are both given; give one"));
        }
        if params.success_codes.as_ref().is_some_and(Vec::is_empty) {
            return Err(params::wrong("`successCodes` is empty, so the command could never succeed"));
        }
        if params.terminate_after() > LONGEST_TERMINATION {
            return Err(params::wrong(&format!(
                "`terminateAfter` is longer than {}: what must stop has to be gone within a minute",
                Period(LONGEST_TERMINATION)
            )));
        }
        if let Some(cwd) = params.cwd.as_ref().filter(|cwd| !cwd.is_absolute()) {
            // The engine may be started again from another folder.
            return Err(params::wrong(&format!("`cwd` {} is not an absolute path", cwd.display())));
        }
        Ok(params)
    }

    fn argv(&self) -> Vec<String> {
        match (&self.argv, &self.shell) {
            (Some(argv), _) => argv.iter().map(|word| word.0.clone()).collect(),
            (None, Some(script)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), script.clone()],
            (None, None) => Vec::new(),
        }
    }

    /// What a person calls the command.
    fn name(&self) -> String {
        match &self.argv {
            Some(argv) => format!("`{}`", argv.first().map_or("", |program| &program.0)),
            None => "the shell script".to_owned(),
        }
    }

    fn launch(&self, cx: &ExecCx, outputs: Option<&Path>) -> Launch {
        let mut argv = self.argv().into_iter().map(OsString::from);
        let mut env: Vec<_> = self.env.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
        env.extend(cx.child_environment());
        let outputs = outputs.unwrap_or(Path::new("/dev/null"));
        env.push((OUTPUTS_VARIABLE.to_owned(), outputs.display().to_string()));
        Launch {
            program: argv.next().unwrap_or_default(),
            args: argv.collect(),
            env,
            cwd: self.cwd.clone(),
            stdin: match (&self.stdin, &self.stdin_text) {
                (Some(value), _) => Some(value.to_string().into_bytes()),
                (None, text) => text.as_ref().map(|text| text.clone().into_bytes()),
            },
            terminate_after: self.terminate_after(),
            note: Some(Note {
                path: group_file(cx.scratch()),
                attempt: cx.attempt_id().to_owned(),
                spare: cx.full_disk().notes.clone(),
            }),
        }
    }

    fn terminate_after(&self) -> Duration {
        self.terminate_after.map_or(Duration::from_secs(10), |period| period.0)
    }

    fn is_success(&self, code: i32) -> bool {
        self.success_codes.as_deref().unwrap_or(&[0]).contains(&code)
    }
}

#[async_trait]
impl Executor for Command {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let params = Params::read(task.with).ok()?;
        let argv = match (&params.argv, &params.shell) {
            (Some(argv), _) => {
                let words = argv.iter().map(|word| quote(&word.0)).collect::<Vec<_>>().join(" ");
                // `env` would take such a program for a variable.
                let is_odd = argv.first().is_some_and(|program| program.0.contains('='));
                if is_odd { format!("/bin/sh -c 'exec \"$0\" \"$@\"' {words}") } else { words }
            }
            (None, script) => format!("/bin/sh -c {}", quote(script.as_deref()?)),
        };
        let mut line = String::new();
        if let Some(folder) = &params.cwd {
            line.push_str(&format!("cd {} && ", quote(&folder.display().to_string())));
        }
        let input = params.stdin.as_ref().map(Value::to_string).or_else(|| params.stdin_text.clone());
        if let Some(text) = input {
            line.push_str(&format!("printf %s {} | ", quote(&text)));
            if params.stdin.is_some() && has_secret(&line) {
                line = format!("{ESCAPE}\n{line}");
            }
        }
        line.push_str("env ");
        // Nobody reads its outputs any more, and a script that writes some must not fail for that.
        line.push_str(&format!("{OUTPUTS_VARIABLE}=/dev/null "));
        let own = params.env.iter().map(|(name, value)| (name.clone(), value.0.clone()));
        for (name, value) in own.chain(task.key.environment()) {
            line.push_str(&format!("{}={} ", quote(&name), quote(&value)));
        }
        line.push_str(&argv);
        match params.success_codes.as_deref() {
            None | Some([0]) => Some(line),
            Some(codes) => Some(format!("{line}  # exit codes that mean success: {codes:?}")),
        }
    }

    fn describe(&self) -> Description {
        Description {
            name: "command",
            summary: "Runs a local program or a line of shell.",
            params: params::schema::<Params>(),
            outputs: &[
                ("exitCode", "The exit code."),
                ("result", "Standard output as a JSON value, with `parse: json`; null otherwise."),
                ("*", "Every key that the command wrote to the file named by BASCULE_OUTPUTS."),
            ],
            effect: Effect::Once,
            probes: false,
            undoes: false,
        }
    }

    fn effect(&self, _with: &Value) -> Effect {
        Effect::Once
    }

    fn stops_within(&self, with: &Value) -> Duration {
        let terminate_after = Params::read(with).map_or(Duration::ZERO, |params| params.terminate_after());
        terminate_after + process::AFTER_KILL + Duration::from_secs(2)
    }

    async fn validate(&self, cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Validation::Refused(failure),
        };
        if let Some(cwd) = params.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
            return Validation::Refused(Failure::new(format!("the folder {} is missing", cwd.display())));
        }
        match &params.shell {
            Some(script) => check_shell(cx, script).await,
            None => find_program(&params).map_or_else(Validation::Refused, |()| Validation::Verified),
        }
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        if cx.is_cancelled() {
            return Outcome::Cancelled { left: Left::Nothing };
        }
        let file = match outputs::prepare(cx).await {
            Ok(file) => file,
            Err(failure) => return Outcome::untouched(failure),
        };
        let mut listener = Listener::new(cx, params.parse.is_some());
        let mut last = listen::LastLine::default();
        let taps = Taps { out: &mut |bytes| listener.hear(bytes), err: &mut |bytes| last.hear(bytes) };
        let ended = process::run(cx, params.launch(cx, file.as_deref()), taps).await;
        let Listener { captured, .. } = listener;
        let outcome = match ended {
            Err(error) => Outcome::untouched(explain_start(&params, &error)),
            Ok(Ended::Lost { source, end }) => {
                let failure = Failure::caused(format!("nobody can say how {} ended", params.name()), &source);
                after_end(end, Outcome::unknown(failure), &params)
            }
            Ok(Ended::Stopped { why, end }) => stopped(&params, why, end),
            Ok(Ended::Exited { status, lingering }) => {
                if let Some(code) = status.code().filter(|code| params.is_success(*code)) {
                    leave(cx, lingering).await;
                    let outcome = finish(&params, code, file.as_deref(), captured).await;
                    outputs::remove(file.as_deref()).await;
                    return outcome;
                }
                let mut failure = Failure::new(format!("{} ended with {}", params.name(), process::describe(status)));
                failure.causes.extend(last.line());
                let end = match lingering {
                    // What a failed command left running must not meet the next attempt.
                    Some(mut group) => group.end(params.terminate_after()).await,
                    None => GroupEnd::Terminated,
                };
                after_end(end, Outcome::possible(failure), &params)
            }
        };
        // It may hold secrets, and what was in it is told by now.
        outputs::remove(file.as_deref()).await;
        outcome
    }
}

/// A command that succeeded may have started a service on purpose.
async fn leave(cx: &ExecCx, lingering: Option<process::Group>) {
    if let Some(group) = lingering {
        let line = format!("processes of group {} were left running", group.id());
        group.leave();
        cx.note(&line).await;
    }
}

/// A command that ended well: its outputs, if they can be read.
async fn finish(params: &Params, code: i32, file: Option<&Path>, captured: listen::Captured) -> Outcome {
    let result = match params.parse {
        Some(Parse::Json) => match captured.json() {
            Ok(value) => value,
            Err(failure) => return Outcome::possible(failure),
        },
        None => Value::Null,
    };
    match outputs::read(file).await {
        Ok(mut outputs) => {
            outputs.insert("exitCode".to_owned(), code.into());
            outputs.insert("result".to_owned(), result);
            Outcome::done(Value::Object(outputs))
        }
        Err(failure) => Outcome::possible(failure),
    }
}

fn stopped(params: &Params, why: Stop, end: GroupEnd) -> Outcome {
    let outcome = match why {
        Stop::Cancelled => Outcome::Cancelled { left: Left::Possible },
        Stop::Deadline => {
            let how = if end == GroupEnd::Killed { "KILL, because it ignored TERM" } else { "TERM" };
            Outcome::possible(
                Failure::new(format!("{} did not end before its deadline and was ended by {how}", params.name()))
                    .hint("give the step a longer `timeout`, or look into its log for what it waited for"),
            )
        }
    };
    after_end(end, outcome, params)
}

/// The outcome, if it is proved that nothing acts on.
fn after_end(end: GroupEnd, outcome: Outcome, params: &Params) -> Outcome {
    match end {
        GroupEnd::Terminated | GroupEnd::Killed => outcome,
        GroupEnd::Survived => Outcome::adrift(
            Failure::new(format!("processes of {} survived KILL and may act on", params.name())).hint(
                "look for processes in state D, which wait for storage that does not answer, and for those of other users",
            ),
        ),
    }
}

fn explain_start(params: &Params, error: &process::LaunchError) -> Failure {
    let failure = Failure::caused(format!("{} did not start", params.name()), error);
    match find_program(params) {
        Err(why) if params.shell.is_none() => failure.hint(why.message),
        Ok(()) | Err(_) => failure,
    }
}

/// Parses a script without running it.
async fn check_shell(cx: &CheckCx, script: &str) -> Validation {
    let mut last = listen::LastLine::default();
    let launch = Launch {
        program: "/bin/sh".into(),
        args: vec!["-n".into(), "-c".into(), script.into()],
        env: Vec::new(),
        cwd: None,
        stdin: None,
        terminate_after: Duration::ZERO,
        note: None,
    };
    // Its words go to the finding, not to a log that may have no reader.
    let (quiet, inbox) = CheckCx::new(cx.deadline(), tokio_util::sync::CancellationToken::new());
    drop(inbox);
    let taps = Taps { out: &mut |_| {}, err: &mut |bytes| last.hear(bytes) };
    match process::run(&quiet, launch, taps).await {
        Ok(Ended::Exited { status, .. }) if status.success() => Validation::Verified,
        Ok(Ended::Exited { .. }) => {
            let mut failure = Failure::new("the shell script cannot be parsed");
            failure.causes.extend(last.line());
            Validation::Refused(failure)
        }
        Ok(Ended::Stopped { .. } | Ended::Lost { .. }) => {
            Validation::NotVerified("there was no time to parse the shell script".to_owned())
        }
        Err(error) => Validation::Refused(Failure::caused("there is no shell", &error)),
    }
}

/// Whether the program is there and may be executed, looked up as it will be when it starts.
fn find_program(params: &Params) -> Result<(), Failure> {
    let argv = params.argv();
    let program = argv.first().map_or("", String::as_str);
    let refuse = |message: String| Err(Failure::new(message));
    if program.contains('/') {
        let path = params.cwd.as_ref().map_or_else(|| PathBuf::from(program), |cwd| cwd.join(program));
        return match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => refuse(format!("{} is a folder, not a program", path.display())),
            Ok(_) if is_executable(&path) => Ok(()),
            Ok(_) => refuse(format!("{} may not be executed; try `chmod +x`", path.display())),
            Err(error) => Err(Failure::caused(format!("there is no program {}", path.display()), &error)),
        };
    }
    let search = params.env.get("PATH").map(|path| OsString::from(&path.0)).or_else(|| std::env::var_os("PATH"));
    let search = search.unwrap_or_else(|| OsStr::new("/bin:/usr/bin").to_owned());
    let found = std::env::split_paths(&search).any(|folder| {
        let path = folder.join(program);
        path.is_file() && is_executable(&path)
    });
    if found { Ok(()) } else { refuse(format!("`{program}` is not in PATH ({})", search.display())) }
}

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(with: &Value) -> String {
        Params::read(with).err().expect("the parameters are wrong").message
    }

    #[test]
    fn exactly_one_way_to_say_what_runs() {
        assert!(refusal(&json!({})).contains("`argv` or `shell` is missing"));
        assert!(refusal(&json!({"argv": ["true"], "shell": "true"})).contains("both given"));
        assert!(refusal(&json!({"argv": []})).contains("`argv` is empty"));
        assert!(refusal(&json!({"argv": [""]})).contains("`argv` is empty"));
        assert!(refusal(&json!({"argv": "ls -l"})).contains("expected a sequence"));
        assert!(Params::read(&json!({"shell": "true"})).is_ok());
    }

    #[test]
    fn parameters_that_could_never_work_are_refused() {
        assert!(refusal(&json!({"argv": ["true"], "stdin": 1, "stdinText": "1"})).contains("`stdinText`"));
        assert!(refusal(&json!({"argv": ["true"], "successCodes": []})).contains("never succeed"));
        assert!(refusal(&json!({"argv": ["true"], "cwd": "here"})).contains("absolute"));
        assert!(refusal(&json!({"argv": ["true"], "enviroment": {}})).contains("`enviroment`"));
        assert!(refusal(&json!({"argv": ["true"], "terminateAfter": "10"})).contains("does not say its unit"));
        assert!(refusal(&json!({"argv": ["true"], "terminateAfter": "46s"})).contains("longer than 45s"));
    }

    #[test]
    fn a_command_gets_the_time_to_stop_that_its_step_says() {
        let within = |with| Command.stops_within(&with);
        assert!(within(json!({"argv": ["true"], "terminateAfter": "30s"})) > Duration::from_secs(40));
        let longest = within(json!({"argv": ["true"], "terminateAfter": "45s"}));
        assert!(longest <= bascule_plugin::STOP_LIMIT, "{longest:?}");
    }
}

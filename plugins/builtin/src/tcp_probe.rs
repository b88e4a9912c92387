//! `tcp.probe`: whether a port answers, how fast, and, if asked, with which words. A measurement:
//! a port that is closed is a result, unless the step says what it expects.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bascule_plugin::by_hand::quote;
use bascule_plugin::{ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Outcome, Role, Validation};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::params;
use crate::period::Period;

/// So much is read of what a service says.
const LONGEST_BANNER: usize = 4 * 1024;

/// Probes a port.
#[derive(Debug)]
pub(crate) struct TcpProbe;

/// The parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Params {
    /// A name or an address.
    host: String,
    /// The port.
    #[schemars(range(min = 1))]
    port: u16,
    /// The time to connect, and to hear what is expected; `5s` unless given.
    timeout: Option<Period>,
    /// A text to send after connecting. It must change nothing there.
    send: Option<String>,
    /// A text that the service must say; the step fails otherwise.
    expect: Option<String>,
    /// Whether the port must answer (`true`) or must not (`false`); without it both are results.
    expect_connected: Option<bool>,
}

impl Params {
    fn read(with: &Value) -> Result<Self, Failure> {
        let params: Self = params::read(with)?;
        if params.host.is_empty() || params.port == 0 {
            return Err(params::wrong("`host` is empty or `port` is 0"));
        }
        if params.expect_connected == Some(false) && (params.expect.is_some() || params.send.is_some()) {
            return Err(params::wrong("with `expectConnected: false` there is nobody to `send` to or `expect` from"));
        }
        if params.expect.as_deref().is_some_and(|text| text.is_empty() || text.len() > LONGEST_BANNER) {
            return Err(params::wrong("`expect` must be a text of 1 to 4096 bytes"));
        }
        Ok(params)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// What was found.
#[derive(Debug)]
struct Found {
    connected: Result<Duration, String>,
    banner: Option<String>,
    /// Why the conversation ended before the expected words.
    silence: Option<String>,
}

#[async_trait]
impl Executor for TcpProbe {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let params = Params::read(task.with).ok()?;
        let connect = format!("timeout 5 bash -c {}", quote(&format!("</dev/tcp/{}/{}", params.host, params.port)));
        Some(match (params.expect_connected, &params.expect) {
            (Some(false), _) => format!("! {connect}"),
            (Some(true) | None, None) => connect,
            (Some(true) | None, Some(words)) => format!("{connect}  # and it must say {}", quote(words)),
        })
    }

    fn describe(&self) -> Description {
        Description {
            name: "tcp.probe",
            summary: "Measures whether a TCP port answers, and checks what it says.",
            params: params::schema::<Params>(),
            outputs: &[
                ("connected", "Whether the port answered."),
                ("ms", "The time to connect in milliseconds; null if it did not answer."),
                ("error", "Why it did not answer; null if it did."),
                ("banner", "What it said, as far as it was read; null without `expect`."),
            ],
            effect: Effect::None,
            probes: false,
            undoes: false,
        }
    }

    fn effect(&self, _with: &Value) -> Effect {
        Effect::None
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        Params::read(with).map_or_else(Validation::Refused, |_| Validation::Verified)
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let params = match Params::read(with) {
            Ok(params) => params,
            Err(failure) => return Outcome::untouched(failure),
        };
        tokio::select! {
            biased;
            stop = cx.stopped() => {
                Outcome::stopped(stop, Failure::new(format!("the deadline came before {} answered", params.place())))
            }
            found = look(&params) => judge(&params, found),
        }
    }
}

async fn look(params: &Params) -> Found {
    let limit = params.timeout.map_or(Duration::from_secs(5), |timeout| timeout.0);
    let start = Instant::now();
    let stream = match tokio::time::timeout(limit, TcpStream::connect((params.host.as_str(), params.port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Found { connected: Err(error.to_string()), banner: None, silence: None },
        Err(_) => {
            let late = format!("no answer within {}", Period(limit));
            return Found { connected: Err(late), banner: None, silence: None };
        }
    };
    let connected = Ok(start.elapsed());
    let mut heard = Vec::new();
    let talked = tokio::time::timeout(limit, talk(params, stream, &mut heard)).await;
    let silence = match talked {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some(format!("it said no more within {}", Period(limit))),
    };
    let banner = params.expect.as_ref().map(|_| String::from_utf8_lossy(&heard).into_owned());
    Found { connected, banner, silence }
}

/// Sends what is to be sent and listens until the expected words were said.
async fn talk(params: &Params, mut stream: TcpStream, heard: &mut Vec<u8>) -> Result<(), String> {
    if let Some(text) = &params.send {
        stream.write_all(text.as_bytes()).await.map_err(|error| format!("it did not listen: {error}"))?;
    }
    let Some(expected) = &params.expect else { return Ok(()) };
    let mut buffer = [0; 1024];
    while heard.len() < LONGEST_BANNER {
        let length = stream.read(&mut buffer).await.map_err(|error| format!("it broke off: {error}"))?;
        if length == 0 {
            return Err("it closed the connection".to_owned());
        }
        heard.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if heard.windows(expected.len()).any(|window| window == expected.as_bytes()) {
            return Ok(());
        }
    }
    Err("it said other things".to_owned())
}

fn judge(params: &Params, found: Found) -> Outcome {
    let place = params.place();
    let wanted = params.expect_connected.or(params.expect.as_ref().map(|_| true));
    match (&found.connected, wanted) {
        (Err(why), Some(true)) => return Outcome::untouched(Failure::new(format!("{place} does not answer: {why}"))),
        (Ok(_), Some(false)) => return Outcome::untouched(Failure::new(format!("{place} answers, and must not"))),
        (Ok(_) | Err(_), _) => {}
    }
    if let Some(why) = found.silence {
        let said = found.banner.map(|banner| format!("; it said {banner:?}")).unwrap_or_default();
        let expected = params.expect.as_ref().map(|text| format!(", expected was {text:?}")).unwrap_or_default();
        return Outcome::untouched(Failure::new(format!("{place} answers, but {why}{said}{expected}")));
    }
    let ms = found.connected.as_ref().ok().map(|time| (time.as_secs_f64() * 1_000_000.0).round() / 1000.0);
    Outcome::done(json!({
        "connected": found.connected.is_ok(), "ms": ms, "error": found.connected.err(), "banner": found.banner,
    }))
}

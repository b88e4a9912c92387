//! A remote job that answers at once with a handle, and is asked until it has ended.

use std::time::Duration;

use bascule_plugin::{ExecCx, Failure, Left, Outcome, Stop};
use reqwest::{Method, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Verb;
use super::condition::Condition;
use super::{Answer, Clients, ExchangeError, Request, is_harmless, is_same_origin, read_url, shown};
use crate::params;
use crate::period::Period;

/// How long a job may take to end after it was told to.
const AFTER_CANCEL: Duration = Duration::from_secs(10);

/// How a remote job is followed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Poll {
    /// Where to ask. `{/id}` stands for the value at that JSON pointer of the first answer. Without it the first answer's `Location` is asked.
    url: Option<String>,
    /// The time between two questions; `5s` unless given.
    every: Option<Period>,
    /// What the answer says once the job has succeeded.
    until: Condition,
    /// What the answer says once the job has failed.
    fail_when: Option<Condition>,
    /// How to tell the job to end when the step is cancelled.
    cancel: Option<Cancel>,
}

/// A request that ends a remote job.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Cancel {
    /// The method; `DELETE` unless given.
    method: Option<Verb>,
    /// Where to send it, with `{/id}` as in `poll`; where the job is asked unless given.
    url: Option<String>,
}

impl Poll {
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.until.check("until")?;
        self.fail_when.as_ref().map_or(Ok(()), |condition| condition.check("failWhen"))?;
        if self.every.is_some_and(|every| every.0.is_zero()) {
            return Err(params::wrong("`every` of `poll` is zero"));
        }
        Ok(())
    }

    /// What a person does after the call, in comments: the address is known only from its answer.
    pub(super) fn told(&self, said: impl Fn(&Condition) -> String) -> String {
        let place = match &self.url {
            Some(url) => format!("{url}  ({{/x}} stands for the value at /x of the answer)"),
            None => "the address in the answer's `Location` (curl -i shows it)".to_owned(),
        };
        let failed = self.fail_when.as_ref().map(|condition| format!("; it failed if it says {}", said(condition)));
        format!(
            "# then read {place} again and again, until it says {}{}",
            said(&self.until),
            failed.unwrap_or_default()
        )
    }

    /// What is made durable before the job is awaited: where to ask, and where to end it.
    /// It stays in the log of the run, so it holds no user and no password.
    pub(super) fn handle(&self, request: &Request, answer: &Answer) -> Result<Value, String> {
        let body = answer.json().unwrap_or_default();
        let url = match &self.url {
            Some(url) => fill(url, &body)?,
            None => {
                let location = answer.headers.get("location").and_then(|value| value.to_str().ok());
                let location = location.ok_or("it has no `Location`, and `poll` has no `url`")?;
                request.url.join(location).map_err(|error| format!("its `Location`: {error}"))?.to_string()
            }
        };
        let cancel = self.cancel.as_ref().and_then(|cancel| cancel.url.as_ref());
        let cancel = cancel.map(|url| fill(url, &body)).transpose()?;
        Ok(json!({"url": without_user(url), "cancelUrl": cancel.map(without_user)}))
    }

    /// Servers that the author of the step names: what the request carries is for them.
    fn named<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = Url> + 'a {
        let cancel = self.cancel.as_ref().and_then(|cancel| cancel.url.as_deref());
        let written = [self.url.as_deref(), cancel].into_iter().flatten().filter_map(written_server);
        std::iter::once(request.url.clone()).chain(written)
    }

    /// A question about the job. To a server that nobody but the first answer names it carries nothing
    /// that is not for everybody: a `Location` may point anywhere.
    fn question(&self, request: &Request, method: Method, mut url: Url) -> Request {
        let mut headers = request.headers.clone();
        match self.named(request).find(|named| is_same_origin(named, &url)) {
            Some(named) if url.username().is_empty() && url.password().is_none() => {
                // An address that has a host takes a user.
                url.set_username(named.username()).ok();
                url.set_password(named.password()).ok();
            }
            Some(_) => {}
            None => {
                headers = headers
                    .into_iter()
                    .filter_map(|(name, value)| Some((name?, value)))
                    .filter(|(name, _)| is_harmless(name))
                    .collect()
            }
        }
        Request { method, url, headers, body: None, ..request.clone() }
    }

    /// Asks once what became of a job.
    pub(super) async fn look(&self, clients: &Clients, request: &Request, handle: &Value) -> Result<Seen, Failure> {
        let url = read_url("url", handle["url"].as_str().unwrap_or_default())?;
        let answer = match clients.send(&self.question(request, Method::GET, url.clone())).await {
            Ok(answer) => answer,
            // As while it is followed: a server that does not answer is asked again.
            Err(_) => return Ok(Seen::GoesOn),
        };
        match answer.status {
            ..300 => Ok(match self.judge(&answer) {
                Job::Succeeded => Seen::Succeeded(answer),
                Job::Failed => Seen::Failed(failed(&url, &answer).to_string()),
                Job::Running(_) => Seen::GoesOn,
            }),
            408 | 425 | 429 | 500.. => Ok(Seen::GoesOn),
            404 | 410 => Ok(Seen::Gone(lost(&url, answer.status))),
            status => Err(lost(&url, status)),
        }
    }

    /// What an answer says of the job.
    fn judge(&self, answer: &Answer) -> Job {
        let body = answer.json();
        match &body {
            Some(body) if self.until.holds(body) => Job::Succeeded,
            Some(body) if self.fail_when.as_ref().is_some_and(|condition| condition.holds(body)) => Job::Failed,
            Some(_) | None => Job::Running(self.until.found(body.as_ref())),
        }
    }
}

/// What a single look says of a job.
pub(super) enum Seen {
    /// It has succeeded.
    Succeeded(Answer),
    /// It has failed: how.
    Failed(String),
    /// It goes on, as far as anybody knows.
    GoesOn,
    /// Its server knows it no more.
    Gone(Failure),
}

/// An address without user and password; what is no address stays, and cannot be asked.
fn without_user(text: String) -> String {
    let Ok(mut url) = Url::parse(&text) else { return text };
    let kept = url.set_username("").and_then(|()| url.set_password(None));
    kept.map_or(text, |()| url.to_string())
}

/// The server that a template names, unless a value of the answer has a part in that.
fn written_server(template: &str) -> Option<Url> {
    let fixed = template.split("{/").next()?;
    let (_, rest) = fixed.split_once("://")?;
    let is_whole = fixed.len() == template.len() || rest.contains(['/', '?', '#']);
    is_whole.then(|| Url::parse(fixed).ok()).flatten()
}

fn lost(url: &Url, status: u16) -> Failure {
    let url = shown(url);
    Failure::new(format!("the job at {url} cannot be followed any more: the server answers {status}"))
        .hint("ask the system itself what became of the job; a server that only `Location` names gets no credentials: name it in `poll.url`")
}

enum Job {
    Succeeded,
    Failed,
    Running(String),
}

/// Puts values of a JSON body in the place of `{/pointer}`.
fn fill(template: &str, body: &Value) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("{/") {
        let (pointer, after) = after.split_once('}').ok_or_else(|| format!("`{template}` has a `{{` without `}}`"))?;
        let found = match body.pointer(&format!("/{pointer}")) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => {
                return Err(format!("it has no plain value at `/{pointer}`"));
            }
        };
        filled.push_str(before);
        filled.push_str(&escape(&found));
        rest = after;
    }
    Ok(filled + rest)
}

/// Percent-encodes all but the unreserved characters of RFC 3986, so that a value is one segment.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A job that is followed.
pub(super) struct Follow<'a> {
    pub(super) cx: &'a ExecCx,
    pub(super) clients: &'a Clients,
    pub(super) poll: &'a Poll,
    /// The request that started it: its headers, time and trust go for the questions too.
    pub(super) request: &'a Request,
    /// What [`Poll::handle`] made of its answer.
    pub(super) handle: &'a Value,
}

impl Follow<'_> {
    /// Asks until the job has ended. `first` is the answer that began it, if it is known.
    pub(super) async fn to_the_end(&self, first: Option<Answer>, done: impl Fn(&Answer) -> Value) -> Outcome {
        let url = match read_url("url", self.handle["url"].as_str().unwrap_or_default()) {
            Ok(url) => url,
            Err(failure) => return Outcome::adrift(failure),
        };
        let question = self.poll.question(self.request, Method::GET, url.clone());
        let mut answer = first;
        loop {
            if let Some(answer) = &answer {
                match self.poll.judge(answer) {
                    Job::Succeeded => return Outcome::done(done(answer)),
                    Job::Failed => return Outcome::possible(failed(&url, answer)),
                    Job::Running(found) => self.cx.note(&format!("the job goes on: {found}")).await,
                }
            }
            // The server has no way to tell us that the job ended: it is asked, as often as the plan says, until the
            // attempt is stopped or its deadline comes.
            let asked = async {
                tokio::time::sleep(self.every()).await;
                self.clients.send(&question).await
            };
            answer = tokio::select! {
                biased;
                stop = self.cx.stopped() => return self.stop(stop, &url, done).await,
                asked = asked => match self.understand(&url, asked).await {
                    Ok(answer) => answer,
                    Err(failure) => return Outcome::adrift(failure),
                },
            };
        }
    }

    fn every(&self) -> Duration {
        self.poll.every.map_or(Duration::from_secs(5), |every| every.0)
    }

    /// An answer, nothing if it is worth asking again, or that the job cannot be followed.
    async fn understand(&self, url: &Url, asked: Result<Answer, ExchangeError>) -> Result<Option<Answer>, Failure> {
        match asked {
            Ok(answer) if answer.status < 300 => Ok(Some(answer)),
            Ok(answer) if matches!(answer.status, 408 | 425 | 429 | 500..) => {
                self.cx.note(&format!("asked for the job, the server answers {}; asking again", answer.status)).await;
                Ok(None)
            }
            Ok(answer) => Err(lost(url, answer.status)),
            Err(error) => {
                self.cx.note(&format!("asked for the job: {error}; asking again")).await;
                Ok(None)
            }
        }
    }

    /// The step must stop: ends the job if it can be ended, and says what is known of it.
    async fn stop(&self, stop: Stop, url: &Url, done: impl Fn(&Answer) -> Value) -> Outcome {
        let goes_on = || {
            let failure = Failure::new(format!("the remote job at {} was not seen to end", shown(url)));
            Outcome::adrift(failure.hint("it may act on; a `cancel` in `poll` would end it"))
        };
        let Some(cancel) = &self.poll.cancel else { return goes_on() };
        match tokio::time::timeout(AFTER_CANCEL, self.end(cancel, url)).await {
            // It was faster than its cancel.
            Ok(Ok(Some(answer))) => Outcome::done(done(&answer)),
            Ok(Ok(None)) => match stop {
                Stop::Cancelled => Outcome::Cancelled { left: Left::Possible },
                Stop::Deadline => Outcome::possible(Failure::new(format!(
                    "the remote job at {} did not end before the deadline and was told to end",
                    shown(url)
                ))),
            },
            Ok(Err(failure)) => Outcome::adrift(failure),
            Err(_) => goes_on(),
        }
    }

    /// Tells the job to end and waits until it has; its answer if it succeeded all the same.
    async fn end(&self, cancel: &Cancel, url: &Url) -> Result<Option<Answer>, Failure> {
        let target = match self.handle["cancelUrl"].as_str() {
            Some(text) => read_url("url", text)?,
            None => url.clone(),
        };
        let method = cancel.method.unwrap_or(Verb::Delete).method();
        if let Err(error) = self.clients.send(&self.poll.question(self.request, method, target)).await {
            self.cx.note(&format!("telling the job to end: {error}")).await;
        }
        let question = self.poll.question(self.request, Method::GET, url.clone());
        loop {
            match self.clients.send(&question).await {
                // A job that is gone after it was told to go has ended.
                Ok(answer) if matches!(answer.status, 404 | 410) => return Ok(None),
                Ok(answer) => match self.poll.judge(&answer) {
                    Job::Succeeded => return Ok(Some(answer)),
                    Job::Failed => return Ok(None),
                    Job::Running(_) => {}
                },
                Err(error) => self.cx.note(&format!("asked for the job: {error}; asking again")).await,
            }
            // Asked as above, more often: `stop` waits no longer than [`AFTER_CANCEL`].
            tokio::time::sleep(self.every().min(Duration::from_millis(200))).await;
        }
    }
}

fn failed(url: &Url, answer: &Answer) -> Failure {
    let text: String = answer.text().chars().take(300).collect();
    Failure { message: format!("the remote job at {} failed", shown(url)), causes: vec![text], hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_is_written_whole_is_named_by_the_author() {
        let server = |template: &str| written_server(template).map(|url| url.origin().ascii_serialization());
        assert_eq!(server("https://tasks:8443/{/id}").as_deref(), Some("https://tasks:8443"));
        assert_eq!(server("https://tasks").as_deref(), Some("https://tasks"));
        assert_eq!(server("https://tasks{/suffix}/jobs"), None);
        assert_eq!(server("{/url}"), None);
        assert_eq!(server("https://{/host}/jobs"), None);
    }

    #[test]
    fn a_handle_holds_no_password() {
        assert_eq!(without_user("https://user:secret@h/jobs/1?a=b".to_owned()), "https://h/jobs/1?a=b");
        assert_eq!(without_user("no address".to_owned()), "no address");
    }

    #[test]
    fn pointers_in_addresses_are_filled_from_the_answer() {
        let body = json!({"task": {"id": "vm 7/a"}, "number": 12});
        assert_eq!(fill("http://h/jobs/{/number}", &body).as_deref(), Ok("http://h/jobs/12"));
        assert_eq!(fill("http://h/{/task/id}/state", &body).as_deref(), Ok("http://h/vm%207%2Fa/state"));
        assert_eq!(fill("http://h/jobs", &body).as_deref(), Ok("http://h/jobs"));
        assert!(fill("http://h/{/missing}", &body).is_err_and(|why| why.contains("`/missing`")));
        assert!(fill("http://h/{/task}", &body).is_err());
        assert!(fill("http://h/{/number", &body).is_err_and(|why| why.contains("without")));
    }
}

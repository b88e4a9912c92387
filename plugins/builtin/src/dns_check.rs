//! `dns.check`: what each of several name servers answers, asked one by one, and whether it is the
//! same and what it should be.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bascule_plugin::by_hand::quote;
use bascule_plugin::{ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Outcome, Role, Validation};
use futures_util::future::join_all;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dns::{self, Patience};
use crate::params;
use crate::period::Period;

/// Checks names.
#[derive(Debug)]
pub(crate) struct DnsCheck;

/// A type of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// Another name.
    #[serde(rename = "CNAME")]
    Cname,
    /// Texts.
    #[serde(rename = "TXT")]
    Txt,
    /// The start of authority.
    #[serde(rename = "SOA")]
    Soa,
    /// Services.
    #[serde(rename = "SRV")]
    Srv,
    /// Mail exchangers.
    #[serde(rename = "MX")]
    Mx,
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Cname => RecordType::CNAME,
            Self::Txt => RecordType::TXT,
            Self::Soa => RecordType::SOA,
            Self::Srv => RecordType::SRV,
            Self::Mx => RecordType::MX,
        }
    }
}

/// The parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Params {
    /// The name to ask for; it is complete as it stands, no search list applies.
    name: String,
    /// The type of record: `A`, `AAAA`, `CNAME`, `TXT`, `SOA`, `SRV` or `MX`; `A` unless given.
    #[serde(rename = "type")]
    kind: Option<Kind>,
    /// The servers to ask, as `host`, `host:port` or `[address]:port`; those of `/etc/resolv.conf` unless given.
    servers: Option<Vec<String>>,
    /// The values that each server must give, in any order; an empty list for a name that must have none.
    expect: Option<Vec<String>>,
    /// The highest time to live, in seconds, that any record of an answer may have.
    max_ttl: Option<u32>,
    /// The time for each question; `2s` unless given.
    timeout: Option<Period>,
    /// How often a server that does not answer is asked again; 2 unless given.
    #[schemars(range(max = 20))]
    retries: Option<u32>,
}

impl Params {
    fn read(with: &Value) -> Result<(Self, Query), Failure> {
        let params: Self = params::read(with)?;
        if params.servers.as_ref().is_some_and(Vec::is_empty) {
            return Err(params::wrong("`servers` is empty"));
        }
        if params.retries.is_some_and(|retries| retries > 20) {
            return Err(params::wrong("`retries` must be at most 20"));
        }
        let mut name = Name::from_utf8(&params.name)
            .map_err(|error| params::wrong(&format!("`name`: `{}`: {error}", params.name)))?;
        name.set_fqdn(true);
        let kind = params.kind.unwrap_or(Kind::A);
        Ok((params, Query::query(name, kind.record_type())))
    }

    fn patience(&self) -> Patience {
        let limit = self.timeout.map_or(Duration::from_secs(2), |timeout| timeout.0);
        Patience { limit, tries: self.retries.unwrap_or(2) + 1 }
    }
}

/// What one server said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// Normal forms of the values, sorted.
    answers: Vec<String>,
    /// The highest of the answer's records, those of a chain of names included.
    ttl: Option<u32>,
    code: String,
    authoritative: bool,
}

#[async_trait]
impl Executor for DnsCheck {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let (params, query) = Params::read(task.with).ok()?;
        let ask = |server: &str| {
            let (host, port) = server
                .rsplit_once(':')
                .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
                .unwrap_or((server, "53"));
            let host = host.trim_start_matches('[').trim_end_matches(']');
            format!(
                "dig +noall +answer @{} -p {port} {} {}",
                quote(host),
                quote(&query.name().to_string()),
                query.query_type()
            )
        };
        let mut lines: Vec<String> = match &params.servers {
            Some(servers) => servers.iter().map(|server| ask(server)).collect(),
            None => vec![format!("dig +noall +answer {} {}", quote(&query.name().to_string()), query.query_type())],
        };
        if let Some(expect) = &params.expect {
            lines.insert(0, format!("# each must answer exactly: {}", expect.join(", ")));
        }
        if let Some(ttl) = params.max_ttl {
            lines.insert(0, format!("# the second column, the TTL, must be at most {ttl}"));
        }
        Some(lines.join("\n"))
    }

    fn describe(&self) -> Description {
        Description {
            name: "dns.check",
            summary: "Asks name servers one by one and checks that they agree, on what, and for how long.",
            params: params::schema::<Params>(),
            outputs: &[
                ("answers", "The values on which all servers agree, sorted."),
                ("ttl", "The highest time to live among all answers, in seconds; null if there is no record."),
                ("servers", "Per server: `server`, `answers`, `ttl`, `code`, `authoritative`."),
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
        match Params::read(with) {
            Ok((params, _)) => servers(&params).await.map_or_else(Validation::Refused, |_| Validation::Verified),
            Err(failure) => Validation::Refused(failure),
        }
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let (params, query) = match Params::read(with) {
            Ok(read) => read,
            Err(failure) => return Outcome::untouched(failure),
        };
        tokio::select! {
            biased;
            stop = cx.stopped() => {
                Outcome::stopped(stop, Failure::new("the deadline came before every name server had answered"))
            }
            outcome = check(&params, &query) => outcome,
        }
    }
}

async fn check(params: &Params, query: &Query) -> Outcome {
    let servers = match servers(params).await {
        Ok(servers) => servers,
        Err(failure) => return Outcome::untouched(failure),
    };
    let asked = servers.iter().map(|(_, address)| dns::ask(*address, query, params.patience()));
    let asked = join_all(asked).await;
    let (mut told, mut problems) = (Vec::new(), Vec::new());
    for ((name, _), result) in servers.iter().zip(asked) {
        match result {
            Ok(message) => told.push((name.clone(), understand(&message, query.query_type()))),
            Err(error) => problems.push(Failure::caused(name.as_str(), &error).to_string()),
        }
    }
    problems.extend(disagreement(&told));
    problems.extend(told.iter().flat_map(|(name, told)| wrong(params, query, name, told)));
    if !problems.is_empty() {
        let what = format!("{} {}", query.name(), query.query_type());
        return Outcome::untouched(Failure {
            message: format!("{what} is not as it should be"),
            causes: problems,
            hint: None,
        });
    }
    let list: Vec<_> = told
        .iter()
        .map(|(name, told)| {
            json!({"server": name, "answers": told.answers, "ttl": told.ttl, "code": told.code,
                   "authoritative": told.authoritative})
        })
        .collect();
    let answers = told.first().map(|(_, told)| told.answers.clone()).unwrap_or_default();
    let ttl = told.iter().filter_map(|(_, told)| told.ttl).max();
    Outcome::done(json!({"answers": answers, "ttl": ttl, "servers": list}))
}

/// What a message says about the name that was asked for.
fn understand(message: &Message, kind: RecordType) -> Told {
    let of_kind = message.answers.iter().filter(|record| record.record_type() == kind);
    let mut answers: Vec<_> = of_kind.map(value).collect();
    answers.sort();
    Told {
        answers,
        ttl: message.answers.iter().map(|record| record.ttl).max(),
        code: mnemonic(message.metadata.response_code),
        authoritative: message.metadata.authoritative,
    }
}

/// A response code as `dig` prints it.
fn mnemonic(code: ResponseCode) -> String {
    let known = match u16::from(code) {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return format!("RCODE{other}"),
    };
    known.to_owned()
}

/// A record's value in its normal form.
fn value(record: &Record) -> String {
    if let RData::TXT(text) = &record.data {
        return text.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect();
    }
    normal(&record.data.to_string())
}

/// Names and addresses without what makes no difference: capitals, final dots, zeros of IPv6.
fn normal(text: &str) -> String {
    if let Ok(address) = Ipv6Addr::from_str(text) {
        return address.to_string();
    }
    let words =
        text.split_whitespace().map(|word| word.strip_suffix('.').filter(|word| !word.is_empty()).unwrap_or(word));
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Names the servers on each side of a disagreement. Times to live may differ: caches count down.
fn disagreement(told: &[(String, Told)]) -> Option<String> {
    let mut camps: BTreeMap<(&[String], &str), Vec<&str>> = BTreeMap::new();
    for (name, told) in told {
        camps.entry((&told.answers, &told.code)).or_default().push(name);
    }
    if camps.len() < 2 {
        return None;
    }
    let camps =
        camps.iter().map(|((answers, code), names)| format!("{} from {}", say(answers, code), names.join(" and ")));
    Some(format!("the servers disagree: {}", camps.collect::<Vec<_>>().join("; ")))
}

fn say(answers: &[String], code: &str) -> String {
    if answers.is_empty() { format!("nothing ({code})") } else { answers.join(", ") }
}

/// What one server's answer lacks.
fn wrong(params: &Params, query: &Query, server: &str, told: &Told) -> Vec<String> {
    let mut problems = Vec::new();
    if !matches!(told.code.as_str(), "NOERROR" | "NXDOMAIN") {
        // It did not say that there is nothing: it did not say anything of the name.
        return vec![format!("{server} does not answer the question ({})", told.code)];
    }
    match &params.expect {
        Some(expected) => {
            let text = query.query_type() == RecordType::TXT;
            let mut expected: Vec<_> =
                expected.iter().map(|value| if text { value.clone() } else { normal(value) }).collect();
            expected.sort();
            if expected != told.answers {
                let (found, expected) = (say(&told.answers, &told.code), say(&expected, "no record"));
                problems.push(format!("{server} says {found}, expected was {expected}"));
            }
        }
        None if told.answers.is_empty() => problems.push(format!("{server} says nothing ({})", told.code)),
        None => {}
    }
    if let (Some(limit), Some(ttl)) = (params.max_ttl, told.ttl)
        && ttl > limit
    {
        problems.push(format!("{server} gives a time to live of {ttl} s, allowed are {limit} s"));
    }
    problems
}

/// The servers to ask: as they are called, and where they are.
async fn servers(params: &Params) -> Result<Vec<(String, SocketAddr)>, Failure> {
    let names = match &params.servers {
        Some(names) => names.clone(),
        None => {
            let path = "/etc/resolv.conf";
            let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                Failure::caused(format!("there are no `servers`, and {path} cannot be read"), &error)
            })?;
            let names = configured(&text);
            if names.is_empty() {
                return Err(Failure::new(format!("there are no `servers`, and {path} names none")));
            }
            names
        }
    };
    let mut servers = Vec::new();
    for name in names {
        let (host, port) = split(&name).ok_or_else(|| params::wrong(&format!("`servers`: `{name}` is no server")))?;
        let cannot = |why: &str| Failure::new(format!("the name server {name} cannot be found: {why}"));
        let mut found =
            tokio::net::lookup_host((host.as_str(), port)).await.map_err(|error| cannot(&error.to_string()))?;
        let address = found.next().ok_or_else(|| cannot("it has no address"))?;
        servers.push((name, address));
    }
    Ok(servers)
}

/// The name servers that a resolver configuration lists.
fn configured(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
}

/// Host and port of a server; an IPv6 address with a port stands in brackets.
fn split(name: &str) -> Option<(String, u16)> {
    if name.parse::<IpAddr>().is_ok() {
        return Some((name.to_owned(), 53));
    }
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (name, 53),
    };
    let bare = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    (!bare.is_empty() && port != 0).then(|| (bare.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_with_and_without_ports() {
        let read = |name: &str| split(name);
        assert_eq!(read("10.0.0.1"), Some(("10.0.0.1".to_owned(), 53)));
        assert_eq!(read("10.0.0.1:5353"), Some(("10.0.0.1".to_owned(), 5353)));
        assert_eq!(read("ns1.example.com"), Some(("ns1.example.com".to_owned(), 53)));
        assert_eq!(read("::1"), Some(("::1".to_owned(), 53)));
        assert_eq!(read("[::1]:5353"), Some(("::1".to_owned(), 5353)));
        for wrong in ["", ":53", "ns1:", "ns1:dns", "ns1:0", "[::1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn configured_servers_are_found() {
        let text = "# made by hand\nsearch lan\nnameserver 10.0.0.1\n nameserver\t::1 # second\noptions ndots:1\n";
        assert_eq!(configured(text), ["10.0.0.1", "::1"]);
    }

    #[test]
    fn what_makes_no_difference_is_left_out() {
        assert_eq!(normal("WWW.Example.COM."), "www.example.com");
        assert_eq!(normal("10 Mail.example.com."), "10 mail.example.com");
        assert_eq!(normal("2001:DB8:0:0::1"), "2001:db8::1");
        assert_eq!(normal("."), ".");
    }

    #[test]
    fn both_sides_of_a_disagreement_are_named() {
        let told = |answer: &str| Told {
            answers: vec![answer.to_owned()],
            ttl: Some(60),
            code: "NOERROR".to_owned(),
            authoritative: true,
        };
        let list = [
            ("a".to_owned(), told("10.0.0.1")),
            ("b".to_owned(), told("10.0.0.2")),
            ("c".to_owned(), told("10.0.0.1")),
        ];
        let said = disagreement(&list).expect("they disagree");
        assert_eq!(said, "the servers disagree: 10.0.0.1 from a and c; 10.0.0.2 from b");
        assert_eq!(disagreement(&list[..1]), None);
    }
}

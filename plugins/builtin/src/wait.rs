//! `wait`: lets time pass. It holds no effect, so an interrupted wait begins again.

use std::time::Duration;

use async_trait::async_trait;
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Outcome, Progress, Role, Validation,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use crate::params;
use crate::period::Period;

/// Lets time pass.
#[derive(Debug)]
pub(crate) struct Wait;

/// The parameters.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// How long to wait, such as `90s`, `30m` or `1h30m`.
    #[serde(rename = "for")]
    duration: Period,
}

#[async_trait]
impl Executor for Wait {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let params: Params = params::read(task.with).ok()?;
        Some(format!("sleep {}", params.duration.0.as_secs_f64()))
    }

    fn describe(&self) -> Description {
        Description {
            name: "wait",
            summary: "Waits for a duration.",
            params: params::schema::<Params>(),
            outputs: &[("waitedMs", "The milliseconds that passed.")],
            effect: Effect::None,
            probes: false,
            undoes: false,
        }
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        params::read::<Params>(with).map_or_else(Validation::Refused, |_| Validation::Verified)
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let duration = match params::read::<Params>(with) {
            Ok(params) => params.duration.0,
            Err(failure) => return Outcome::untouched(failure),
        };
        let start = Instant::now();
        tokio::select! {
            biased;
            stop = cx.stopped() => Outcome::stopped(
                stop,
                Failure::new(format!("the deadline came before the {} were over", Period(duration)))
                    .hint("give the step a `timeout` longer than its wait"),
            ),
            () = pass(cx, start, duration) => {
                Outcome::done(json!({"waitedMs": u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)}))
            }
        }
    }
}

/// Sleeps, and tells each second how far it is.
async fn pass(cx: &ExecCx, start: Instant, duration: Duration) {
    let end = tokio::time::sleep_until(start + duration);
    tokio::pin!(end);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = &mut end => return,
            _ = second.tick() => cx.progress(Progress {
                done: start.elapsed().as_secs(),
                total: Some(duration.as_secs()),
                unit: "seconds".to_owned(),
            }),
        }
    }
}

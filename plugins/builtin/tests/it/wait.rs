//! `wait` on the real clock.

use std::time::{Duration, Instant};

use bascule_plugin::{Left, Outcome};
use serde_json::json;

use crate::attempt::{Attempt, refusal};

#[tokio::test]
async fn a_wait_takes_its_time_and_says_how_far_it_is() {
    let seen = Attempt::of("wait").execute(json!({"for": "50ms"})).await;
    assert!(seen.took >= Duration::from_millis(50));
    assert_eq!(seen.log.progress.first().map(|progress| progress.unit.as_str()), Some("seconds"));
    assert!(seen.outputs()["waitedMs"].as_u64().is_some_and(|ms| ms >= 50));
}

#[tokio::test]
async fn a_cancel_or_a_deadline_ends_a_wait() {
    let attempt = Attempt::of("wait");
    let cancel = attempt.cancel.clone();
    let (seen, ()) = tokio::join!(attempt.execute(json!({"for": "14d"})), async { cancel.cancel() });
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Nothing });
    let mut attempt = Attempt::of("wait");
    attempt.deadline = Some(Instant::now() + Duration::from_millis(20));
    let (failure, left) = attempt.execute(json!({"for": "1h30m"})).await.failure();
    assert!(failure.starts_with("the deadline came before the 1h30m were over"), "{failure}");
    assert_eq!(left, Left::Nothing);
}

#[tokio::test]
async fn a_duration_that_cannot_be_read_is_refused() {
    assert!(refusal("wait", &json!({"for": "5"})).await.contains("write `5s` for seconds"));
    assert!(refusal("wait", &json!({"for": 5})).await.contains("expected a string"));
    assert!(refusal("wait", &json!({})).await.contains("missing field `for`"));
}

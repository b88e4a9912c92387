//! The unchanged founding runbook on the lab, through the real program: over, back, and interrupted with kill -9.

mod by_hand;
mod demo;
mod kills;
mod rig;
mod writing;

use bascule_lab::{EntryKind, Fault, FaultKind, Side};
use rig::{BACK, OVER, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn the_founding_runbook_is_accepted_on_the_lab() {
    let rig = Rig::start().await;
    rig.lab.start_users(3, 40).await.expect("users");
    let ended = rig.run(&[]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let seen = rig.lab.stop_users().await.expect("users go home");
    assert!(seen.by_source > 0 && seen.by_target > 0, "users ordered on both sides: {seen:?}");
    assert_eq!(rig.effects(), OVER, "{ended}");
    let report = rig.lab.verify_orders(Side::Target).expect("the target's disk");
    assert!(report.is_kept(), "{report:?}");
    assert_eq!(rig.status().await["state"], "accepted");
    let drawn = rig.call(&["graph", "customer-analytics-api/1", "--format", "svg"]).await;
    assert!(drawn.code == Some(0) && drawn.out.contains("succeeded"), "{drawn}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_is_left_by_itself_and_every_order_comes_home() {
    let rig = Rig::start().await;
    rig.lab.start_users(3, 40).await.expect("users");
    let run = rig.spawn(&["--set", "rollbackWindow=60s"]);
    rig.until_the_target_took_orders().await;
    rig.lab
        .inject(&Fault::new(rig.target_machine(), FaultKind::Latency).value(1_500.0))
        .await
        .expect("a fault of the target");
    let ended = run.wait().await;
    assert_eq!(ended.code, Some(3), "{ended}");
    let seen = rig.lab.stop_users().await.expect("users go home");
    assert!(seen.by_target > 0, "users ordered on the target meanwhile: {seen:?}");
    let whole: Vec<&str> = OVER.iter().chain(&BACK).copied().collect();
    assert_eq!(rig.effects(), whole, "the undos in the order of SEMANTICS §8: {ended}");
    let report = rig.lab.verify_orders(Side::Source).expect("the source's disk");
    assert!(report.is_kept(), "{report:?}");
    assert_eq!(rig.weights().await, (100, 0), "users are on the source");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_exposure_never_overwrites_the_source() {
    let rig = Rig::start().await;
    rig.lab.start_users(2, 40).await.expect("users");
    // The application on the target answers nothing but errors: the smoke test fails for good.
    rig.lab.inject(&Fault::new(rig.target_machine(), FaultKind::Errors)).await.expect("a fault of the target");
    let ended = rig.run(&[]).await;
    assert_eq!(ended.code, Some(3), "{ended}");
    let effects = rig.effects();
    assert!(!effects.contains(&"lb set_weights".to_owned()), "users never saw the target: {effects:?}");
    assert!(!effects.contains(&"source reverse_sync".to_owned()), "nothing was written over the source: {effects:?}");
    assert_eq!(
        effects,
        [
            "source quiesce",
            "target sync",
            "target convert",
            "target attach",
            "target power_on",
            "source unquiesce",
            "target power_off",
            "target detach",
            "target move_aside"
        ]
    );
    let seen = rig.lab.stop_users().await.expect("users go home");
    assert_eq!(seen.by_target, 0);
    assert!(seen.by_source > 0);
    let report = rig.lab.verify_orders(Side::Source).expect("the source's disk");
    assert!(report.is_kept(), "{report:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_got_lost_leads_to_no_second_effect() {
    let rig = Rig::start().await;
    rig.lab.inject(&Fault::new("lb-api", FaultKind::LoseAnswer).times(1)).await.expect("a fault of the load balancer");
    let ended = rig.run(&[]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(rig.effects(), OVER, "done once although it was asked twice");
    let twice = rig.lab.ledger().expect("the ledger").into_iter().filter(|entry| entry.kind == EntryKind::Noop).count();
    assert_eq!(twice, 0, "the second request had the same idempotency key");
    rig.stop().await;
}

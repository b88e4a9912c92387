//! A disk that fills up under a run: what is kept is for the way back.

use std::io::ErrorKind;

use bascule::machine::{RunState, Verb};

use super::rig::{Rig, now, say, step, until, until_it_is};
use super::{name, note};
use crate::stores_disk::{Call, Fail};

/// Two steps, the first of which waits at a gate.
fn two() -> String {
    let (first, second) =
        (step("first", Some("gate"), ", takesSourceDown: true"), step("second", None, ", exposes: true"));
    format!("rollbackWindow: 1s\ncutoverSteps:\n{first}{second}")
}

/// Nothing new finds room in the journal.
fn fill(rig: &Rig) {
    rig.disk.fail_by(|call| {
        let of_journal =
            matches!(call, Call::Create(path) | Call::Reserve(path) if path.to_string_lossy().contains("journal"));
        of_journal.then_some(Fail::With(ErrorKind::StorageFull))
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_new_starts_forwards_until_there_is_room_and_the_way_back_always_does() {
    for goes_back in [false, true] {
        let rig = Rig::new();
        let engine = rig.start().await;
        let mut sayings = engine.sayings();
        let run = name("shop/1");
        rig.create(&engine, "shop", &two()).await;
        until(&engine, &run, |_| rig.ledger() == ["first"]).await;
        fill(&rig);
        while engine.log().room_left().is_none() {
            say(&engine, &run, note(&"x".repeat(20_000))).await;
        }
        let said = loop {
            let said = sayings.recv().await.expect("the engine speaks");
            if said.contains("THE DISK IS FULL") {
                break said;
            }
        };
        assert!(said.contains("Nothing new is started on the way forward"), "{said}");
        rig.open("gate");
        until(&engine, &run, |run| run.live.is_empty()).await;
        // Each word is a moment at which the second step could start.
        say(&engine, &run, note("still full")).await;
        assert_eq!(
            (rig.ledger().join(" "), now(&engine, &run).await.state),
            ("first".to_owned(), RunState::CuttingOver)
        );
        if goes_back {
            say(&engine, &run, Verb::Rollback).await;
            until_it_is(&engine, &run, RunState::RolledBack).await;
            assert_eq!(rig.ledger(), ["first", "undo first"]);
        } else {
            rig.disk.heal();
            until_it_is(&engine, &run, RunState::Accepted).await;
            assert_eq!(rig.ledger(), ["first", "second"]);
        }
        engine.stop().await.expect("it ends");
    }
}

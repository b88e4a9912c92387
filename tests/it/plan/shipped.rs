//! The runbook that the project must run unchanged, with the catalogs that are shipped.

use bascule::plan::{CatalogRank, ExecutorInfo, Executors, Plan, step};

use super::support::{Bench, Made};

const RUNBOOK: &str = include_str!("../../../runbooks/customer-analytics-api.yaml");
const PEXTRA: &str = include_str!("../../../runbooks/catalog/pextra-cloud.yaml");
const LAB: &str = include_str!("../../../runbooks/catalog/lab.yaml");

/// The executors that are built in, as the verbs tell the compiler of them.
fn builtin() -> Executors {
    let effect = |effect: bascule_plugin::Effect| match effect {
        bascule_plugin::Effect::None => step::Effect::None,
        bascule_plugin::Effect::Idempotent => step::Effect::Idempotent,
        bascule_plugin::Effect::Probe => step::Effect::Probe,
        bascule_plugin::Effect::Once => step::Effect::Once,
    };
    let table = bascule_builtin::registry::builtin();
    let info = |executor: &std::sync::Arc<dyn bascule_plugin::Executor>| {
        let about = executor.describe();
        ExecutorInfo {
            contract: Some(1),
            sha256: None,
            params: about.params,
            effect: effect(about.effect),
            probes: about.probes,
            undoes: about.undoes,
            progress: executor.reports_progress(),
            outputs: about.outputs.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    };
    table.iter().map(|(name, executor)| ((*name).to_owned(), info(executor))).collect()
}

const LAB_INPUTS: &str = "inputs.sourceApi=http://127.0.0.1:1 inputs.targetApi=http://127.0.0.1:2 inputs.lb=http://127.0.0.1:3 \
     inputs.vip=http://127.0.0.1:4 inputs.dns=127.0.0.1:5 inputs.dnsApi=http://127.0.0.1:6 inputs.backup=http://127.0.0.1:7 \
     inputs.metrics=http://127.0.0.1:8 inputs.vm=vm inputs.name=app.lab inputs.sourceUuid=s inputs.targetUuid=t";

fn in_the_lab() -> Made {
    let bench = Bench::new(RUNBOOK).with_executors(builtin()).shipped("pextra-cloud", PEXTRA).catalog(
        "lab",
        CatalogRank::Flag,
        LAB,
    );
    LAB_INPUTS.split_whitespace().fold(bench, Bench::set).compile()
}

/// The founding runbook, ready to be run in the lab.
pub(crate) fn founding_in_the_lab() -> Plan {
    in_the_lab().compiled.plan.expect("the lab's catalog names every step")
}

#[test]
fn the_runbook_lints_alone_with_what_is_shipped() {
    let made = Bench::new(RUNBOOK).with_executors(builtin()).shipped("pextra-cloud", PEXTRA).compile();
    insta::assert_snapshot!(format!("{}\n{}", made.report(), made.outline()));
}

#[test]
fn in_the_lab_nothing_is_missing_and_the_way_back_is_the_documented_one() {
    let made = in_the_lab();
    insta::assert_snapshot!(format!("{}\n{}", made.report(), made.outline()));
    assert!(made.plan().missing.is_empty(), "{:?}", made.plan().missing);
    let back = bascule::plan::rollback::complete(made.plan());
    let names = |part: &[bascule::plan::UndoNode]| -> Vec<String> {
        part.iter().map(|node| made.plan().step(node.step).id.to_string()).collect()
    };
    assert_eq!(
        names(&back.restore),
        ["fence:stop_target_writes", "final_data_sync", "quiesce_application", "update_load_balancer"]
    );
    assert_eq!(names(&back.cleanup), ["power_on_target", "attach_target_storage_profile", "convert_image"]);
}

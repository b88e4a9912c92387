//! Documents become plans: what is refused, what is warned of, what comes out.

mod draw;
mod edges;
mod problems;
mod seal;
mod shipped;
mod support;
mod values;

pub(crate) use shipped::founding_in_the_lab;
use support::Bench;

const FIXTURE: &str = "\
application: customer-analytics-api
wave: 2
sourcePlatform: vmware-vsphere
sourceCluster: prod-cluster-03
targetPlatform: pextra-cloud
rollbackWindowMinutes: 90
preChecks:
  - backup_success_last_24h
  - target_monitoring_ready
  - target_network_policy_validated
  - dns_ttl_lowered
cutoverSteps:
  - quiesce_application
  - final_data_sync
  - convert_image
  - attach_target_storage_profile
  - validate_guest_tools_and_drivers
  - power_on_target
  - smoke_test
  - update_load_balancer
postChecks:
  - p95_latency_within_slo
  - error_rate_below_threshold
  - backup_job_succeeds
  - alerting_signals_present
rollbackCriteria:
  - app_health_check_failure
  - sustained_latency_regression
  - target_backup_failure
";

const CATALOG: &str = include_str!("plan/catalog.yaml");

#[test]
fn fixture_compiles_without_a_problem() {
    let made = Bench::new(FIXTURE).shipped("lab", CATALOG).compile();
    insta::assert_snapshot!(made.report());
    insta::assert_snapshot!(made.outline());
}

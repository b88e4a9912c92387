//! The machine on a virtual clock.

use bascule::machine::RunState;

use crate::support::night::Night;
use crate::support::plans;

#[test]
fn an_untroubled_run_is_accepted() {
    let mut night = Night::of(plans::founding().seal()).begin();
    night.until_it_is(RunState::Accepted);
    insta::assert_snapshot!(night.story());
}

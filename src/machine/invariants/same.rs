//! Whether a run is what its log says.

use super::{Broken, broken};
use crate::machine::run::Run;

/// 30. A run is what its log says: folding its records again gives the same run, times included.
///
/// # Errors
/// The first field that differs.
#[expect(clippy::too_many_lines, reason = "one line per field")]
pub fn same(live: &Run, replayed: &Run) -> Result<(), Broken> {
    // Taken apart in full, so that a new field cannot be forgotten here.
    let Run {
        plan,
        name,
        requester,
        trust_claimed_names,
        go_at,
        created,
        updated,
        sequence,
        epoch,
        state,
        since,
        because,
        left,
        steps,
        ready,
        live: under_way,
        probing,
        locking,
        partial,
        open,
        timers,
        hold,
        go,
        questions,
        asked,
        possibly_exposed,
        exposed,
        first_effect,
        prepared_effect,
        commit_intended,
        irreversible,
        down_since,
        up_since,
        window,
        criteria,
        baseline,
        signed_off,
        way_back,
        rechecking,
        rollback,
        gate,
        locks,
        rest,
        in_charge,
        clock_in_doubt,
        clock_offset,
        turn_back,
        turn_back_waived,
        residue,
    } = live;
    let fields = [
        ("plan", plan.hash() == replayed.plan.hash()),
        ("name", *name == replayed.name && *requester == replayed.requester),
        ("trust_claimed_names", *trust_claimed_names == replayed.trust_claimed_names),
        ("times", *go_at == replayed.go_at && *created == replayed.created && *updated == replayed.updated),
        ("sequence", *sequence == replayed.sequence && *epoch == replayed.epoch),
        ("state", *state == replayed.state && *since == replayed.since && *because == replayed.because),
        ("left", *left == replayed.left),
        ("steps", *steps == replayed.steps),
        ("sets", *ready == replayed.ready && *under_way == replayed.live && *probing == replayed.probing),
        ("locking", *locking == replayed.locking && *partial == replayed.partial),
        ("open", *open == replayed.open),
        ("timers", *timers == replayed.timers),
        ("hold", *hold == replayed.hold && *go == replayed.go),
        ("questions", *questions == replayed.questions && *asked == replayed.asked),
        ("exposure", *possibly_exposed == replayed.possibly_exposed && *exposed == replayed.exposed),
        ("first_effect", *first_effect == replayed.first_effect && *prepared_effect == replayed.prepared_effect),
        ("commit", *commit_intended == replayed.commit_intended && *irreversible == replayed.irreversible),
        ("service", *down_since == replayed.down_since && *up_since == replayed.up_since),
        ("window", *window == replayed.window && *gate == replayed.gate),
        ("criteria", *criteria == replayed.criteria && *baseline == replayed.baseline),
        ("signed_off", *signed_off == replayed.signed_off && *way_back == replayed.way_back),
        ("rechecking", *rechecking == replayed.rechecking),
        ("rollback", *rollback == replayed.rollback && *residue == replayed.residue),
        ("locks", *locks == replayed.locks && *rest == replayed.rest && *in_charge == replayed.in_charge),
        ("clock", *clock_in_doubt == replayed.clock_in_doubt && *clock_offset == replayed.clock_offset),
        ("turn_back", *turn_back == replayed.turn_back && *turn_back_waived == replayed.turn_back_waived),
    ];
    match fields.iter().find(|(_, agrees)| !agrees) {
        Some((field, _)) => broken(30, format!("`{field}` differs from what the log says")),
        None => Ok(()),
    }
}

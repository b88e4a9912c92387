//! The time at which a prepared run begins by itself.

use super::apply::Illegal;
use super::draft::Draft;
use super::event::Event;
use super::fact::Millis;
use super::input::Reply;
use super::run_state::RunState;
use super::verbs::done;

/// A person names the time, or takes it back.
pub(super) fn go_at(d: &mut Draft<'_>, at: Option<Millis>) -> Result<Reply, Illegal> {
    let run = d.run();
    let before =
        matches!(run.stands_in(), RunState::Created | RunState::Checking | RunState::Preparing | RunState::Prepared);
    if !before || run.go || run.rollback.is_some() {
        let why = format!("a run that is {} does not wait for the word", run.state);
        return Ok(Reply::refused(why, "`bascule status` shows what it waits for"));
    }
    match at {
        None if run.go_at.is_none() => {
            return Ok(Reply::refused("no time was named", "`bascule go` gives the word now"));
        }
        Some(at) if at <= d.now().wall => {
            return Ok(Reply::refused("that time has passed", "`bascule go` gives the word now"));
        }
        Some(_) | None => {}
    }
    done(d, Event::GoPlanned { at })
}

//! What was heard of FreeSWITCH's sessions and is still to be told, and which of its numbers nobody heard the end of.

use std::collections::{BTreeSet, HashSet};

use model::cdr::session::{EndedSession, SessionEvent};
use store::sessions::{OPEN_MAX, TOLD_MAX};

/// Ends kept while the database is away. Those beyond are found by their numbers when it is back, without their uuids.
const UNTOLD_MAX: usize = 100_000;

#[derive(Default)]
pub struct Heard {
    run: Option<Run>,
    untold: Vec<EndedSession>,
}

/// One run of FreeSWITCH.
#[derive(Default)]
struct Run {
    core_uuid: String,
    /// Up to this number a session is in `open` or over; `None` until the database has said which are open.
    through: Option<i64>,
    /// Go on, or ended unheard.
    open: BTreeSet<i64>,
    /// Ended, beyond `through`.
    ahead: BTreeSet<i64>,
    /// The last number given at the last heartbeat of this connection, and at the one before.
    last: Option<i64>,
    before: Option<i64>,
    /// A heartbeat came since it was judged.
    due: bool,
    /// Did not go on when last looked at, and nobody heard their end.
    suspects: BTreeSet<i64>,
}

impl Heard {
    /// A new connection: what ended before it may be unheard.
    pub fn connected(&mut self) {
        if let Some(run) = &mut self.run {
            (run.last, run.before, run.due) = (None, None, false);
            run.suspects.clear();
        }
    }

    pub fn take(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Ended(session) => {
                if self.untold.len() < UNTOLD_MAX {
                    self.run(&session.core_uuid).end(session.number);
                    self.untold.push(session);
                }
            }
            SessionEvent::Counted { core_uuid, last_number } => self.run(&core_uuid).count(last_number),
        }
    }

    fn run(&mut self, core_uuid: &str) -> &mut Run {
        if self.run.as_ref().is_some_and(|run| run.core_uuid != core_uuid) {
            self.run = None;
        }
        self.run.get_or_insert_with(|| Run { core_uuid: core_uuid.to_owned(), ..Run::default() })
    }

    /// The run that goes on, once its heartbeat was heard.
    pub fn core(&self) -> Option<String> {
        self.run.as_ref().filter(|run| run.last.is_some()).map(|run| run.core_uuid.clone())
    }

    /// Ends of one run to be told, the oldest first; empty where there are none.
    pub fn untold(&self) -> Vec<EndedSession> {
        let Some(first) = self.untold.first() else { return Vec::new() };
        let of_one_run = self.untold.iter().take_while(|it| it.core_uuid == first.core_uuid);
        of_one_run.take(TOLD_MAX).cloned().collect()
    }

    /// The first so many were told.
    pub fn told(&mut self, ends: usize) {
        self.untold.drain(..ends.min(self.untold.len()));
    }

    /// A run of which the database must say what is open up to the last number.
    pub fn unknown(&self) -> Option<(String, i64)> {
        let run = self.run.as_ref().filter(|run| run.through.is_none())?;
        Some((run.core_uuid.clone(), run.last?))
    }

    /// What the database said. `last` is the number it was asked with.
    pub fn opened(&mut self, core_uuid: &str, last: i64, open: Vec<i64>) {
        let Some(run) = self.run.as_mut().filter(|run| run.core_uuid == core_uuid) else { return };
        run.open = open.into_iter().filter(|number| !run.ahead.contains(number)).collect();
        run.ahead = run.ahead.split_off(&(last + 1));
        run.through = Some(last);
        if let Some(last) = run.last {
            run.advance(last);
        }
    }

    /// The run, where it is to be looked whether sessions ended unheard: those given before the last heartbeat but one.
    pub fn to_judge(&self) -> Option<String> {
        let run = self.run.as_ref().filter(|run| run.due && run.through.is_some())?;
        run.open.range(..=run.before?).next()?;
        Some(run.core_uuid.clone())
    }

    /// Those that ended unheard: at two looks they did not go on, and their end had not come.
    pub fn judge(&mut self, core_uuid: &str, running: &HashSet<i64>) -> Vec<i64> {
        let Some(run) = self.run.as_mut().filter(|run| run.core_uuid == core_uuid) else { return Vec::new() };
        run.due = false;
        let Some(before) = run.before else { return Vec::new() };
        let over: BTreeSet<i64> =
            run.open.range(..=before).filter(|number| !running.contains(number)).copied().collect();
        let unheard = over.intersection(&run.suspects).take(TOLD_MAX).copied().collect();
        run.suspects = over;
        unheard
    }

    /// These are told: they are over.
    pub fn told_unheard(&mut self, core_uuid: &str, numbers: &[i64]) {
        if let Some(run) = self.run.as_mut().filter(|run| run.core_uuid == core_uuid) {
            for number in numbers {
                run.open.remove(number);
                run.suspects.remove(number);
            }
        }
    }
}

impl Run {
    fn end(&mut self, number: i64) {
        if self.through.is_none_or(|through| number > through) {
            self.ahead.insert(number);
        } else {
            self.open.remove(&number);
        }
    }

    fn count(&mut self, last: i64) {
        (self.before, self.last, self.due) = (self.last, Some(last), true);
        if self.through.is_some() {
            self.advance(last);
        }
    }

    fn advance(&mut self, last: i64) {
        let open_max = usize::try_from(OPEN_MAX).unwrap_or(usize::MAX);
        for number in self.through.map_or(1, |through| through + 1)..=last {
            if !self.ahead.remove(&number) && self.open.len() < open_max {
                self.open.insert(number);
            }
        }
        self.through = self.through.max(Some(last));
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn ended(core: &str, number: i64) -> EndedSession {
        EndedSession {
            core_uuid: core.to_owned(),
            number,
            leg_uuid: format!("{core}-{number}"),
            start_time: Some(Timestamp::UNIX_EPOCH),
            ended: Timestamp::UNIX_EPOCH,
            owes_record: true,
        }
    }

    fn end(heard: &mut Heard, number: i64) {
        heard.take(SessionEvent::Ended(ended("a", number)));
    }

    fn beat(heard: &mut Heard, last_number: i64) {
        heard.take(SessionEvent::Counted { core_uuid: "a".to_owned(), last_number });
    }

    /// A run whose first five were told before.
    fn listening() -> Heard {
        let mut heard = Heard::default();
        heard.connected();
        beat(&mut heard, 5);
        assert_eq!(heard.unknown(), Some(("a".to_owned(), 5)));
        heard.opened("a", 5, vec![]);
        assert_eq!((heard.unknown(), heard.core()), (None, Some("a".to_owned())));
        heard
    }

    fn judged(heard: &mut Heard, running: &[i64]) -> Vec<i64> {
        heard.judge("a", &running.iter().copied().collect())
    }

    #[test]
    fn ends_are_told_once_in_the_order_they_came() {
        let mut heard = listening();
        for number in [7, 6, 8] {
            end(&mut heard, number);
        }
        heard.take(SessionEvent::Ended(ended("b", 1)));
        let untold = heard.untold();
        assert_eq!(untold.iter().map(|it| it.number).collect::<Vec<_>>(), [7, 6, 8]);
        // One more comes while they are told.
        heard.take(SessionEvent::Ended(ended("b", 2)));
        heard.told(untold.len());
        assert_eq!(heard.untold(), [ended("b", 1), ended("b", 2)]);
        heard.told(2);
        assert_eq!(heard.untold(), []);
    }

    #[test]
    fn what_goes_on_and_what_is_heard_is_never_unheard() {
        let mut heard = listening();
        beat(&mut heard, 9);
        assert_eq!(heard.to_judge(), None, "nothing is as old as the heartbeat before");
        end(&mut heard, 6);
        for _ in 0..3 {
            beat(&mut heard, 9);
            assert_eq!(heard.to_judge().as_deref(), Some("a"));
            assert_eq!(judged(&mut heard, &[7, 8, 9]), [0_i64; 0]);
            assert_eq!(heard.to_judge(), None, "one look a heartbeat");
        }
        for number in [7, 8, 9] {
            end(&mut heard, number);
        }
        beat(&mut heard, 9);
        assert_eq!(heard.to_judge(), None, "all are over");
    }

    #[test]
    fn an_end_that_nobody_heard_is_found_by_its_number_at_the_second_look() {
        let mut heard = listening();
        beat(&mut heard, 8);
        // The connection is lost; 6 ends meanwhile, 9 begins and ends, 7 goes on, 8's end is only late.
        heard.connected();
        beat(&mut heard, 9);
        assert_eq!(heard.to_judge(), None);
        beat(&mut heard, 9);
        assert_eq!(judged(&mut heard, &[7]), [0_i64; 0]);
        end(&mut heard, 8);
        beat(&mut heard, 9);
        assert_eq!(judged(&mut heard, &[7]), [6, 9]);
        // Not told, because the database is away: found again.
        beat(&mut heard, 9);
        assert_eq!(judged(&mut heard, &[7]), [6, 9]);
        heard.told_unheard("a", &[6, 9]);
        beat(&mut heard, 9);
        assert_eq!(judged(&mut heard, &[7]), [0_i64; 0]);
    }

    #[test]
    fn a_program_that_was_started_anew_asks_what_was_told() {
        let mut heard = Heard::default();
        heard.connected();
        // Of an end before the first heartbeat and of one after the question the database says they are open.
        end(&mut heard, 4);
        beat(&mut heard, 5);
        end(&mut heard, 5);
        end(&mut heard, 7);
        beat(&mut heard, 8);
        heard.opened("a", 5, vec![5, 4, 2]);
        beat(&mut heard, 8);
        assert_eq!(judged(&mut heard, &[6]), [0_i64; 0]);
        beat(&mut heard, 8);
        assert_eq!(judged(&mut heard, &[6]), [2, 8]);
    }

    #[test]
    fn another_run_has_its_own_numbers() {
        let mut heard = listening();
        end(&mut heard, 6);
        heard.connected();
        heard.take(SessionEvent::Counted { core_uuid: "b".to_owned(), last_number: 1 });
        assert_eq!(heard.unknown(), Some(("b".to_owned(), 1)));
        // An answer about the run that is over changes nothing.
        heard.opened("a", 6, vec![1]);
        assert_eq!((heard.unknown(), heard.judge("a", &HashSet::new())), (Some(("b".to_owned(), 1)), vec![]));
        // What was heard of it is told all the same.
        assert_eq!(heard.untold(), [ended("a", 6)]);
    }
}

//! How many copies may be in flight to one server.
//!
//! It must not know what a copy is, nor why one counts as lost: it counts. A copy is in flight
//! from its sending until it is answered or declared lost. Invariants: the window is halved at
//! most once a round trip, and never below 8 while anything is heard, 2 in a silence.

use crate::core::Time;

/// Copies that may be in flight before anything is known of the path (RFC 6928's ten segments).
const INITIAL: u32 = 10;

/// The window never shrinks below this while anything is heard. Where a third of all round trips
/// are lost, three of four copies are soon lost together, and nothing is left to overtake them;
/// of eight hardly ever. It is less than anybody may send unasked (`INITIAL`).
const LEAST: u32 = 8;

/// The window after an RTO of silence.
const SILENT: u32 = 2;

/// A loss without a queue takes a fifth of the window, as in TCP Veno (Fu and Liew 2003) …
const CHANCE: (u32, u32) = (4, 5);

/// … unless more than a quarter of the window is lost with it: so much is not lost by chance.
const CHANCE_PART: u32 = 4;

/// … and some: of a small window, a quarter is soon lost by chance.
const CHANCE_FEW: u32 = 2;

/// What a loss says about the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing was heard for an RTO.
    Silence,
    /// Round trips take longer than they could: there is a queue.
    Queue,
    /// There is none: the copy was lost by chance, or by what keeps no queue.
    Chance,
}

/// The last time that the window was reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cut {
    /// Losses of what was sent before are of the same event.
    at: Time,
    /// What the window and its threshold were.
    size: u32,
    threshold: u32,
    /// Losses of this event, less those that turned out to be none.
    losses: u32,
    halved: bool,
}

/// The window of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Window {
    /// Below `threshold` it grows by one with each answer, above it by one with each window of
    /// answers.
    size: u32,
    threshold: u32,
    answers: u32,
    /// The session's number of slots: there are never more calls than that.
    max: u32,
    cut: Option<Cut>,
    in_flight: u32,
    /// Most copies in flight since there were none.
    peak: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: INITIAL,
            threshold: u32::MAX,
            answers: 0,
            max: INITIAL,
            cut: None,
            in_flight: 0,
            peak: 0,
        }
    }
}

impl Window {
    /// Takes the number of slots of a new session.
    pub(super) fn set_max(&mut self, slots: u32) {
        self.max = slots.max(SILENT);
        self.size = self.size.min(self.max);
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether there is room for a copy.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < self.size
    }

    /// A copy went out.
    pub(super) fn sent(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.peak = self.peak.max(self.in_flight);
    }

    /// A copy turned out never to have left, or nobody waits for it any more.
    pub(super) fn withdrawn(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.peak = 0;
        }
    }

    /// A copy in flight was answered. The window grows only while it is used: answers to a
    /// trickle say nothing about room for a flood (RFC 8085 section 3.1.2, RFC 7661).
    pub(super) fn answered(&mut self) {
        let used = self.peak.saturating_mul(2) > self.size;
        self.withdrawn();
        if !used || self.size >= self.max {
            return;
        }
        if self.size < self.threshold {
            self.size += 1;
            return;
        }
        self.answers += 1;
        if self.answers >= self.size {
            self.answers = 0;
            self.size += 1;
        }
    }

    /// Something valid was heard.
    pub(super) fn heard(&mut self) {
        self.size = self.size.max(LEAST.min(self.max));
    }

    /// A copy in flight, sent at `sent`, is declared lost.
    pub(super) fn lost(&mut self, now: Time, sent: Time, sign: Sign) {
        self.withdrawn();
        if sign == Sign::Silence {
            if self.size > SILENT {
                self.begin_cut(now, true);
                self.threshold = (self.size / 2).max(LEAST);
                self.size = SILENT;
            }
            return;
        }
        match &mut self.cut {
            Some(cut) if sent < cut.at => {
                cut.losses = cut.losses.saturating_add(1);
                if !cut.halved && cut.losses > cut.size / CHANCE_PART + CHANCE_FEW {
                    cut.halved = true;
                    let half = (cut.size / 2).max(LEAST);
                    self.threshold = half;
                    self.size = self.size.min(half);
                }
            }
            _ => {
                self.begin_cut(now, sign == Sign::Queue);
                if sign == Sign::Queue {
                    self.threshold = (self.size / 2).max(LEAST);
                    self.size = self.threshold.min(self.max);
                } else {
                    // It grows back with the next answers.
                    let (part, whole) = CHANCE;
                    self.threshold = self.threshold.max(self.size);
                    let rest = u64::from(self.size) * u64::from(part) / u64::from(whole);
                    let rest = u32::try_from(rest).unwrap_or(self.size);
                    self.size = rest.max(LEAST).min(self.max);
                }
            }
        }
    }

    fn begin_cut(&mut self, at: Time, halved: bool) {
        let Self { size, threshold, .. } = *self;
        self.cut = Some(Cut { at, size, threshold, losses: 1, halved });
        if halved {
            // Where losses by chance come with every round trip, growth goes on through them.
            self.answers = 0;
        }
    }

    /// A copy that was declared lost at `declared` was not. When all losses of an event were none,
    /// the window is again what it was.
    pub(super) fn was_not_lost(&mut self, declared: Time) {
        if let Some(cut) = &mut self.cut
            && cut.at <= declared
            && cut.losses > 0
        {
            cut.losses -= 1;
            if cut.losses == 0 {
                self.size = self.size.max(cut.size).min(self.max);
                self.threshold = self.threshold.max(cut.threshold);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    /// A window of 64, all in flight.
    fn full() -> Window {
        let mut window = Window::default();
        window.set_max(64);
        while window.size() < 64 {
            while window.has_room() {
                window.sent();
            }
            window.answered();
        }
        while window.has_room() {
            window.sent();
        }
        window
    }

    #[test]
    fn losses_by_chance_take_a_fifth_once_a_round_trip_and_answers_bring_it_back() {
        let mut window = full();
        for _ in 0..4 {
            window.lost(at(100), at(0), Sign::Chance);
        }
        assert_eq!(window.size(), 51);
        (0..13).for_each(|_| window.answered());
        assert_eq!(window.size(), 64);
        window.lost(at(200), at(100), Sign::Chance);
        assert_eq!(window.size(), 51, "another event");
    }

    #[test]
    fn loss_of_more_than_a_quarter_is_no_chance() {
        let mut window = full();
        (0..18).for_each(|_| window.lost(at(100), at(0), Sign::Chance));
        assert_eq!(window.size(), 51);
        window.lost(at(100), at(0), Sign::Chance);
        assert_eq!(window.size(), 32);
        window.lost(at(100), at(0), Sign::Chance);
        assert_eq!(window.size(), 32, "halved once");
        (0..31).for_each(|_| window.answered());
        assert_eq!(window.size(), 32, "and then grows slowly");
    }

    #[test]
    fn loss_with_a_queue_halves() {
        let mut window = full();
        window.lost(at(100), at(0), Sign::Queue);
        window.lost(at(100), at(0), Sign::Queue);
        assert_eq!(window.size(), 32);
    }

    #[test]
    fn window_is_never_below_8_while_anything_is_heard() {
        for sign in [Sign::Queue, Sign::Chance] {
            let mut window = full();
            (0..100).for_each(|ms| window.lost(at(ms), at(ms), sign));
            assert_eq!(window.size(), 8, "{sign:?}");
        }
    }

    #[test]
    fn losses_that_were_none_leave_the_window_as_it_was() {
        for sign in [Sign::Queue, Sign::Chance] {
            let mut window = full();
            (0..20).for_each(|_| window.lost(at(100), at(0), sign));
            (0..19).for_each(|_| window.was_not_lost(at(100)));
            assert!(window.size() <= 51, "one was");
            window.was_not_lost(at(100));
            assert_eq!(window.size(), 64);
        }
    }
}

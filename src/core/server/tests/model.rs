//! The slot machine against a model too simple to be wrong: every call of one session by its id.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What one step does.
#[derive(Debug, Clone)]
enum Step {
    Request { call: u64, body: u8, slow: bool, known: bool },
    Fence { call: u64 },
    Status { call: u64 },
    Ack { call: u64 },
    Claim,
    Complete { nth: usize },
    NotStarted { nth: usize },
    Pass { micros: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let call = W..5 * W;
    prop_oneof![
        8 => (call.clone(), 0u8..3, any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(call, body, slow, known)| Step::Request { call, body, slow, known }),
        2 => call.clone().prop_map(|call| Step::Fence { call }),
        2 => call.clone().prop_map(|call| Step::Status { call }),
        1 => call.prop_map(|call| Step::Ack { call }),
        4 => Just(Step::Claim),
        4 => any::<usize>().prop_map(|nth| Step::Complete { nth }),
        1 => any::<usize>().prop_map(|nth| Step::NotStarted { nth }),
        3 => (0u64..3_000_000).prop_map(|micros| Step::Pass { micros }),
    ]
}

/// What the model knows of a call.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Queued,
    Running,
    Done(Vec<u8>),
    Gone,
    Refused(Reason),
    Fenced,
}

#[derive(Debug, Default)]
struct Model {
    calls: BTreeMap<u64, (Fate, (u8, bool, bool))>,
    queue: Vec<u64>,
    running: Vec<u64>,
    executed: BTreeMap<u64, usize>,
}

const EXPIRY: u64 = 20 * SECOND;

impl Model {
    /// The largest id that the slot of this call has seen.
    fn top(&self, call: u64) -> u64 {
        self.calls.keys().copied().filter(|seen| seen % W == call % W).max().unwrap_or(0)
    }

    /// A larger id has come: a smaller one that waits never runs.
    fn supersede(&mut self, call: u64) {
        self.queue.retain(|waiting| waiting % W != call % W);
    }

    fn expire(&mut self, clock: u64) {
        if clock >= EXPIRY {
            for call in std::mem::take(&mut self.queue) {
                self.calls.get_mut(&call).unwrap().0 = Fate::Refused(Reason::Expired);
            }
        }
    }

    /// What is said of a call that is known, limits on how often apart.
    fn tell(&self, call: u64) -> Said {
        match &self.calls[&call].0 {
            Fate::Queued => Said::Progress(SlotState::Queued),
            Fate::Running => Said::Progress(SlotState::Running),
            Fate::Done(body) => reply(body),
            Fate::Gone => Refusal(Reason::ReplyGone),
            Fate::Refused(reason) => Promise(*reason),
            Fate::Fenced => Promise(Reason::Fenced),
        }
    }

    fn start(&mut self, call: u64) {
        self.calls.get_mut(&call).unwrap().0 = Fate::Running;
        self.running.push(call);
        *self.executed.entry(call).or_default() += 1;
    }

    /// What is said in answer; `None` where that depends on how lately something was said.
    fn request(&mut self, call: u64, what: (u8, bool, bool), clock: u64) -> Vec<Said> {
        let top = self.top(call);
        if call < top {
            return vec![Refusal(Reason::Stale)];
        }
        if call == top {
            let (fate, first) = &self.calls[&call];
            if *fate != Fate::Fenced && *first != what {
                return vec![Refusal(Reason::IdReused)];
            }
            return vec![self.tell(call)];
        }
        self.supersede(call);
        let refused = if clock >= EXPIRY {
            Some(Reason::Expired)
        } else if !what.2 {
            Some(Reason::UnknownMethod)
        } else if self.running.len() as u64 >= W {
            Some(Reason::TooManyRunning)
        } else {
            None
        };
        if let Some(reason) = refused {
            self.calls.insert(call, (Fate::Refused(reason), what));
            return vec![Promise(reason)];
        }
        self.calls.insert(call, (Fate::Queued, what));
        if what.1 {
            self.queue.push(call)
        } else {
            self.start(call)
        }
        vec![]
    }

    fn fence(&mut self, call: u64) -> Said {
        let top = self.top(call);
        if call < top {
            return Refusal(Reason::Stale);
        }
        if call > top {
            self.supersede(call);
            self.calls.insert(call, (Fate::Fenced, (0, false, false)));
        } else if self.calls[&call].0 == Fate::Queued {
            self.queue.retain(|waiting| *waiting != call);
            self.calls.get_mut(&call).unwrap().0 = Fate::Fenced;
        }
        self.tell(call)
    }
}

fn method(slow: bool, known: bool) -> MethodId {
    match (known, slow) {
        (false, _) => MethodId(1),
        (true, true) => SLOW,
        (true, false) => QUICK,
    }
}

fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut bench = Bench::new();
    let peer = bench.open();
    let mut model = Model::default();
    for step in steps {
        // Long enough that no answer is held back for having been given lately; one that goes
        // unasked meanwhile counts too.
        while !bench.run_for(5_000).is_empty() {}
        model.expire(bench.clock());
        match step.clone() {
            Step::Request { call, body, slow, known } => {
                let slow = slow && known;
                let expected = model.request(call, (body, slow, known), bench.clock());
                let method = method(slow, known);
                let heard = bench.request_until(&peer, call, method, &[body], EXPIRY);
                prop_assert_eq!(heard, expected, "{:?}", step);
            }
            Step::Fence { call } => {
                prop_assert_eq!(bench.fence(&peer, call), [model.fence(call)], "{:?}", step);
            }
            Step::Status { call } => {
                let expected = match call.cmp(&model.top(call)) {
                    std::cmp::Ordering::Less => Refusal(Reason::Stale),
                    std::cmp::Ordering::Equal => model.tell(call),
                    std::cmp::Ordering::Greater => Said::Progress(SlotState::Empty),
                };
                prop_assert_eq!(bench.status(&peer, call), [expected], "{:?}", step);
            }
            Step::Ack { call } => {
                if call == model.top(call) && matches!(model.calls[&call].0, Fate::Done(_)) {
                    model.calls.get_mut(&call).unwrap().0 = Fate::Gone;
                }
                prop_assert_eq!(bench.ack(&peer, call, 1), []);
            }
            Step::Claim => {
                let claimed = bench.claim().map(|job| job.key.call.0);
                let expected = (!model.queue.is_empty()).then(|| model.queue.remove(0));
                prop_assert_eq!(claimed, expected);
                expected.into_iter().for_each(|call| model.start(call));
            }
            Step::Complete { nth } | Step::NotStarted { nth } => {
                if model.running.is_empty() {
                    continue;
                }
                let call = model.running.remove(nth % model.running.len());
                let ran = matches!(step, Step::Complete { .. });
                let body = call.to_be_bytes();
                let (fate, end) = if ran {
                    let end =
                        End::Done { status: Code::Ok, metadata: MetadataRef::EMPTY, body: &body };
                    (Fate::Done(body.to_vec()), end)
                } else {
                    let reason = Reason::Expired;
                    (Fate::Refused(reason), End::NotStarted(reason))
                };
                model.calls.get_mut(&call).unwrap().0 = fate;
                let expected: Vec<Said> =
                    (call == model.top(call)).then(|| model.tell(call)).into_iter().collect();
                prop_assert_eq!(said(&bench.end(&peer, call, end)), expected);
            }
            Step::Pass { micros } => {
                bench.run_for(micros);
                model.expire(bench.clock());
            }
        }
        prop_assert_eq!(bench.server.running(), model.running.len());
        prop_assert_eq!(bench.server.queued(), model.queue.len());
    }
    for (call, executed) in &model.executed {
        prop_assert_eq!(*executed, 1);
        prop_assert_eq!(bench.runs(&peer, *call), 1);
    }
    prop_assert_eq!(bench.started.len(), model.executed.len());
    Ok(())
}

#[test]
fn duplicate_right_after_an_unasked_progress_is_answered_once_that_is_not_too_soon() {
    let request = Step::Request { call: W + 3, body: 2, slow: true, known: true };
    // The 200 ms after which one PROGRESS goes unasked end just when the duplicate would come.
    play(vec![request.clone(), Step::Pass { micros: 190_000 }, request]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn slot_machine_behaves_as_the_naive_model(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        play(steps)?;
    }
}

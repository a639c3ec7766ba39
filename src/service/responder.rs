//! The right, and the duty, to answer one call later and from any thread.

use std::fmt;

use super::Status;

/// Answers one call, once. Dropped unanswered it answers INTERNAL, so that no caller waits for a
/// handler that forgot about it.
pub struct Responder {
    /// Taken by the answer.
    answer: Option<Answer>,
}

/// Takes the answer, and whether it is one because the handler panicked.
type Answer = Box<dyn FnOnce(Result<Vec<u8>, Status>, bool) + Send>;

impl Responder {
    /// A responder that hands its one answer to `answer`, which must neither block nor panic: it
    /// runs on whatever thread responds.
    pub fn new(answer: impl FnOnce(Result<Vec<u8>, Status>) + Send + 'static) -> Self {
        Self::telling_panics(|result, _panicked| answer(result))
    }

    /// The same, for somebody who counts panics.
    pub(crate) fn telling_panics(
        answer: impl FnOnce(Result<Vec<u8>, Status>, bool) + Send + 'static,
    ) -> Self {
        Self { answer: Some(Box::new(answer)) }
    }

    /// Ends the call: the reply's bytes, or why it failed.
    pub fn respond(mut self, result: Result<Vec<u8>, Status>) {
        if let Some(answer) = self.answer.take() {
            answer(result, false);
        }
    }

    /// Ends the call of a handler whose panic was caught.
    pub(crate) fn panicked(mut self) {
        if let Some(answer) = self.answer.take() {
            answer(Err(Status::internal(PANICKED)), true);
        }
    }
}

/// What callers are told of a panic.
pub(crate) const PANICKED: &str = "the handler panicked";

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            let panicked = std::thread::panicking();
            let why = if panicked { PANICKED } else { "the handler dropped its responder" };
            answer(Err(Status::internal(why)), panicked);
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use crate::wire::Code;

    #[test]
    fn answer_arrives_from_another_thread_and_only_once() {
        let (responder, answers) = testing::responder();
        std::thread::spawn(move || responder.respond(Ok(vec![1]))).join().unwrap();
        assert_eq!(answers.iter().collect::<Vec<_>>(), [Ok(vec![1])]);
    }

    #[test]
    fn responder_dropped_unanswered_answers_internal() {
        let (responder, answers) = testing::responder();
        drop(responder);
        let status = answers.recv().unwrap().unwrap_err();
        assert_eq!(status.code, Code::Internal);
        assert_eq!(status.message, "the handler dropped its responder");
    }

    #[test]
    fn responder_lost_in_a_panic_says_so() {
        let (responder, answers) = testing::responder();
        let thread = std::thread::spawn(move || {
            let _held = responder;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(thread.join().is_err());
        assert_eq!(answers.recv().unwrap().unwrap_err().message, "the handler panicked");
    }
}

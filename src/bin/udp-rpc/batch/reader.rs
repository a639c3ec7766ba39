//! The thread that reads a batch's input and makes requests of it, so that neither a slow source
//! nor a long line holds up the calls in flight.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use prost::Message;
use prost_reflect::MessageDescriptor;
use udp_rpc::client::Interrupter;

use super::chunks::{self, Chunk, Chunks};
use crate::guard;
use crate::input;

/// Requests that are read ahead of the calls.
const READ_AHEAD: usize = 64;

/// Stack of the reading thread, bytes: the JSON mapping recurses, to the depth that it allows.
const STACK: usize = 16 << 20;

/// A request of the input.
pub(crate) struct Item {
    /// The line that it begins on, from 1.
    pub(crate) line: u64,
    /// How much of the input was read with it, bytes.
    pub(crate) read: u64,
    /// The request, or what is wrong with the line.
    pub(crate) request: Result<Vec<u8>, String>,
}

/// What the reader has to say now.
pub(crate) enum Next {
    /// A request.
    Item(Item),
    /// Nothing yet.
    Later,
    /// There is no more.
    End,
}

/// The reader, seen from the thread that makes the calls.
pub(crate) struct Reader {
    items: Receiver<Item>,
    /// Whether the other thread waits for calls and would rather know of an item at once.
    hungry: Arc<AtomicBool>,
}

impl Reader {
    /// Begins to read; `interrupter` ends a wait of whoever is hungry.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub(crate) fn start<R: BufRead + Send + 'static>(
        chunks: Chunks<R>,
        descriptor: MessageDescriptor,
        interrupter: Interrupter,
    ) -> std::io::Result<Reader> {
        let (sender, items) = sync_channel(READ_AHEAD);
        let hungry = Arc::new(AtomicBool::new(false));
        let feeding = Feeding { sender, hungry: Arc::clone(&hungry), interrupter };
        std::thread::Builder::new()
            .name("input".to_owned())
            .stack_size(STACK)
            .spawn(move || read(chunks, &descriptor, &feeding))?;
        Ok(Reader { items, hungry })
    }

    /// What there is without waiting. After [`Next::Later`] the next item interrupts the client.
    pub(crate) fn poll(&self) -> Next {
        let now = |reader: &Reader| match reader.items.try_recv() {
            Ok(item) => Next::Item(item),
            Err(TryRecvError::Empty) => Next::Later,
            Err(TryRecvError::Disconnected) => Next::End,
        };
        self.hungry.store(false, Ordering::SeqCst);
        match now(self) {
            Next::Later => {
                self.hungry.store(true, Ordering::SeqCst);
                // It may have come just before.
                now(self)
            }
            next => next,
        }
    }

    /// Waits for the next item for at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> Next {
        match self.items.recv_timeout(timeout) {
            Ok(item) => Next::Item(item),
            Err(RecvTimeoutError::Timeout) => Next::Later,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }
}

/// Where the reading thread hands items over.
struct Feeding {
    sender: SyncSender<Item>,
    hungry: Arc<AtomicBool>,
    interrupter: Interrupter,
}

impl Feeding {
    /// Hands one over; false if nobody wants more.
    fn give(&self, item: Item) -> bool {
        let taken = self.sender.send(item).is_ok();
        if self.hungry.swap(false, Ordering::SeqCst) {
            self.interrupter.interrupt();
        }
        taken
    }
}

fn read<R: BufRead>(chunks: Chunks<R>, descriptor: &MessageDescriptor, feeding: &Feeding) {
    for chunk in chunks {
        let requests = guard::quietly(|| requests(&chunk, descriptor))
            .unwrap_or_else(|| vec![Err("the server's description makes no sense".to_owned())]);
        for request in requests {
            if !feeding.give(Item { line: chunk.line, read: chunk.read, request }) {
                return;
            }
        }
    }
}

/// The requests of a chunk: one, or as many as there are values on its line. What is wrong with
/// any of several is wrong with the line, and none is sent.
pub(crate) fn requests(
    chunk: &Chunk,
    descriptor: &MessageDescriptor,
) -> Vec<Result<Vec<u8>, String>> {
    let text = match &chunk.text {
        Ok(text) => text.trim_end(),
        Err(why) => return vec![Err(why.clone())],
    };
    let encoded = |start: usize, text: &str| {
        let request = input::from_json(descriptor, text);
        let request = request.map(|message| message.encode_to_vec());
        request.map_err(|wrong| wrong.from(chunk.line, start).to_string())
    };
    let wrong = match encoded(0, text) {
        Ok(request) => return vec![Ok(request)],
        Err(wrong) => wrong,
    };
    let values = chunks::values(text).unwrap_or_default();
    if values.len() < 2 {
        return vec![Err(wrong)];
    }
    let each =
        values.into_iter().map(|range| encoded(range.start, text.get(range).unwrap_or_default()));
    match each.collect::<Result<Vec<_>, _>>() {
        Ok(requests) => requests.into_iter().map(Ok).collect(),
        Err(wrong) => vec![Err(wrong)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    fn made(text: &str) -> Vec<Result<Vec<u8>, String>> {
        let chunk = Chunk { line: 7, read: 0, text: Ok(text.to_owned()) };
        requests(&chunk, &message("Inner"))
    }

    #[test]
    fn a_line_is_a_request_or_several_and_errors_have_its_number() {
        assert_eq!(made("{\"n\":3}"), [Ok(vec![8, 3])]);
        assert_eq!(made("{\"n\":3} {\"n\":4}\n"), [Ok(vec![8, 3]), Ok(vec![8, 4])]);
        let wrong = made("{\"n\":\"x\"}");
        assert_eq!(wrong, [Err("n: \"x\" is not an int32 (line 7, column 8)".to_owned())]);
    }

    #[test]
    fn the_column_is_that_of_the_line_whichever_value_it_is_in() {
        let wrong = made("{\"n\":3} {\"n\":\"x\"}");
        assert_eq!(wrong, [Err("n: \"x\" is not an int32 (line 7, column 16)".to_owned())]);
    }

    #[test]
    fn of_a_line_with_anything_wrong_nothing_is_sent() {
        for text in ["{\"n\":3} {\"n\":\"x\"}", "{\"n\":3} x", "{\"n\":3} {"] {
            assert!(matches!(made(text).as_slice(), [Err(_)]), "{text}");
        }
    }
}

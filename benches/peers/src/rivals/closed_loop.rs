//! The load of those whose clients are asynchronous: so many tasks on one thread, each of which
//! makes one call after the other.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::measure::{Recorder, Sample};
use crate::operands::{Operands, Source};
use crate::settings::{Error, Load};

/// How much longer than its run a load waits for tasks that hang.
const GRACE: Duration = Duration::from_millis(2);

/// Runs this on a runtime of one thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, future)
}

/// Makes calls with `call` until the run is over.
pub(super) async fn run<F>(
    load: &Load,
    call: impl Fn(Operands) -> F + Clone + 'static,
) -> Result<Sample, Error>
where
    F: Future<Output = Result<i64, Error>>,
{
    let shared = Rc::new(RefCell::new((Recorder::new(load), Source::new(load.random))));
    let over = shared.borrow().0.over();
    // What each task has in flight, if it is timed.
    let begun = Rc::new(RefCell::new(vec![None; load.depth]));
    let mut tasks = JoinSet::new();
    for number in 0..load.depth {
        let (shared, begun, call) = (Rc::clone(&shared), Rc::clone(&begun), call.clone());
        tasks.spawn_local(async move {
            loop {
                let (start, operands) = {
                    let (recorder, source) = &mut *shared.borrow_mut();
                    (recorder.begin(), source.next())
                };
                begun.borrow_mut()[number] = start;
                let result = call(operands).await;
                begun.borrow_mut()[number] = None;
                let recorder = &mut shared.borrow_mut().0;
                let goes_on = match result {
                    Ok(sum) if sum == operands.sum() => recorder.end(start),
                    Ok(sum) => recorder.fail(format!("{operands:?} is not {sum}")),
                    Err(error) => recorder.fail(error),
                };
                if !goes_on {
                    return;
                }
            }
        });
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at((over + GRACE).into(), all).await;
    let unfinished: Vec<Instant> = begun.borrow().iter().copied().flatten().collect();
    tasks.shutdown().await;
    let shared = Rc::into_inner(shared).ok_or("a task outlived its load")?;
    Ok(shared.into_inner().0.finish(unfinished))
}

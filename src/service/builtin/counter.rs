//! Counters that make double execution visible: after n increments that the callers know to have
//! run, a counter says n and not more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::generated::v1::CounterValue;
use super::super::generated::v1::counter::{GET, INCREMENT};
use super::super::{Registry, RegistryError, Status};

/// Most counters of one server: callers choose the names, so they are bounded.
pub const COUNTERS_MAX: usize = 1024;

/// Longest name of a counter, bytes.
pub const COUNTER_NAME_LEN_MAX: usize = 64;

/// Values by name, shared by both methods.
#[derive(Clone, Default)]
struct Counters(Arc<Mutex<BTreeMap<String, u64>>>);

/// Adds the counters.
///
/// # Errors
///
/// As [`install`](super::install).
pub fn install(registry: &mut Registry) -> Result<(), RegistryError> {
    let counters = Counters::default();
    let read = counters.clone();
    registry
        .describe_file(super::DESCRIPTORS, "udprpc/v1/counter.proto")?
        .add(INCREMENT.inline(move |_, request| {
            let value = counters.increment(request.name(), request.by.unwrap_or(1))?;
            Ok(CounterValue { value })
        }))?
        .add(GET.inline(move |_, request| Ok(CounterValue { value: read.get(request.name()) })))?;
    Ok(())
}

impl Counters {
    /// Every change below is a single step, so a panic elsewhere leaves nothing half done.
    fn values(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn increment(&self, name: &str, by: u64) -> Result<u64, Status> {
        let mut values = self.values();
        if let Some(value) = values.get_mut(name) {
            *value = value.checked_add(by).ok_or_else(|| {
                Status::out_of_range(format!("{value} + {by} does not fit 64 bits"))
            })?;
            return Ok(*value);
        }
        if name.len() > COUNTER_NAME_LEN_MAX {
            return Err(Status::invalid_argument(format!(
                "the counter's name takes {} bytes; the limit is {COUNTER_NAME_LEN_MAX}",
                name.len()
            )));
        }
        // The nameless counter has a place of its own.
        let named = values.len() - usize::from(values.contains_key(""));
        if named >= COUNTERS_MAX && !name.is_empty() {
            return Err(Status::resource_exhausted(format!(
                "there are {COUNTERS_MAX} named counters already"
            )));
        }
        values.insert(name.to_owned(), by);
        Ok(by)
    }

    fn get(&self, name: &str) -> u64 {
        self.values().get(name).copied().unwrap_or(0)
    }
}

//! Values in a row, without gaps: what goes is replaced by the last. So memory is in proportion to
//! what there is, however it came and went, and one place after the other can be looked at.
//!
//! They stand in chunks, so that growing moves nothing and takes no more than a chunk.

/// Values of a chunk.
const CHUNK: usize = 64;

/// The row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rows<T> {
    /// All full but the last, which is not empty.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Rows<T> {
    pub(super) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(CHUNK, Vec::len);
        self.chunks.len() * CHUNK + last - CHUNK
    }

    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let place = place as usize;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// Puts a value at the end.
    pub(super) fn push(&mut self, value: T) {
        match self.chunks.last_mut().filter(|last| last.len() < CHUNK) {
            Some(last) => last.push(value),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
    }

    /// Takes a value out; the last one is in its place then, unless it was that.
    pub(super) fn swap_remove(&mut self, place: u32) -> Option<T> {
        self.get(place)?;
        let chunk = self.chunks.last_mut()?;
        let mut value = chunk.pop()?;
        if chunk.is_empty() {
            self.chunks.pop();
        }
        if let Some(gone) = self.get_mut(place) {
            std::mem::swap(gone, &mut value);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_replaced_by_the_last() {
        let mut rows = Rows::default();
        let mut plain = Vec::new();
        for n in 0..200 {
            rows.push(n);
            plain.push(n);
        }
        for n in 0..200u32 {
            assert_eq!(rows.len(), plain.len());
            assert_eq!(rows.swap_remove(plain.len() as u32), None);
            let place = n * 7 % plain.len() as u32;
            assert_eq!(rows.swap_remove(place), Some(plain.swap_remove(place as usize)));
            let left: Vec<u32> =
                (0..plain.len() as u32).filter_map(|at| rows.get(at).copied()).collect();
            assert_eq!(left, plain);
        }
        assert_eq!((rows.len(), rows.chunks.len()), (0, 0));
    }
}

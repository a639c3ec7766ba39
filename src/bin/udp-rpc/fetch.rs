//! A description that comes in parts, put together.
//!
//! Nothing here talks to anybody. The parts are a peer's: each must fit to those before it, the
//! whole must be of the length and the checksum that all of them say, and [`LONGEST`] bounds it
//! before anything is allocated for it.

use udp_rpc::service::generated::v1::DescribeReply;

/// The longest description that is fetched, bytes: a hundred times those of large services, and no
/// strain for this process.
pub(crate) const LONGEST: usize = 1 << 20;

/// The least that a part may hold if more are to come, bytes: bounds the calls that a whole takes.
const SHORTEST_PART: usize = 64;

/// A description under way.
#[derive(Debug)]
pub(crate) struct Parts {
    whole: Vec<u8>,
    /// Of the whole, as the first part says.
    length: usize,
    /// Of the whole, as the first part says; `None` where it does not say any.
    checksum: Option<u32>,
    /// How far each part goes that is asked for.
    stride: usize,
    /// Where the next part begins that is to be asked for.
    next: usize,
}

/// What is wrong with a part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is of another description: that of a server which has been restarted. Worth another try.
    Changed,
    /// It cannot be.
    Wrong(String),
}

impl Parts {
    /// Begins with the first part.
    ///
    /// # Errors
    ///
    /// The description is too long, or the part no beginning of it.
    pub(crate) fn begin(first: &DescribeReply) -> Result<Parts, Trouble> {
        let part = &first.file_descriptor_set;
        // A server that knows no parts says no length, and everything at once.
        let says_length = first.length > 0 || part.is_empty();
        let length = if says_length { first.length as usize } else { part.len() };
        if length > LONGEST {
            return Err(wrong(format!(
                "it takes {length} bytes, and udp-rpc reads no more than {LONGEST}"
            )));
        }
        if part.len() > length {
            return Err(wrong(format!("a part of {} bytes, of {length} in all", part.len())));
        }
        if part.len() < length && part.len() < SHORTEST_PART {
            return Err(wrong(format!("it comes in parts of {} bytes", part.len())));
        }
        Ok(Parts {
            whole: part.clone(),
            length,
            checksum: says_length.then_some(first.checksum),
            stride: part.len(),
            next: part.len(),
        })
    }

    /// Where the next part begins that is to be asked for; `None` when all have been.
    pub(crate) fn next(&mut self) -> Option<u32> {
        let offset = (self.next < self.length).then_some(self.next)?;
        self.next += self.stride;
        u32::try_from(offset).ok()
    }

    /// Takes the part after those that have come.
    ///
    /// # Errors
    ///
    /// It does not fit to them.
    pub(crate) fn take(&mut self, part: &DescribeReply) -> Result<(), Trouble> {
        if part.length as usize != self.length || Some(part.checksum) != self.checksum {
            return Err(Trouble::Changed);
        }
        let wanted = self.stride.min(self.length - self.whole.len());
        let Some(bytes) = part.file_descriptor_set.get(..wanted) else {
            return Err(wrong(format!(
                "a part of {} bytes at {}, where {wanted} were due",
                part.file_descriptor_set.len(),
                self.whole.len()
            )));
        };
        self.whole.extend_from_slice(bytes);
        Ok(())
    }

    /// The whole, once every part has come.
    ///
    /// # Errors
    ///
    /// Its checksum is not what it should be: parts of two descriptions.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Trouble> {
        let fits = self.checksum.is_none_or(|checksum| crc32fast::hash(&self.whole) == checksum);
        if fits && self.whole.len() == self.length { Ok(self.whole) } else { Err(Trouble::Changed) }
    }
}

fn wrong(message: String) -> Trouble {
    Trouble::Wrong(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part that an honest server sends.
    fn part(whole: &[u8], offset: usize, room: usize) -> DescribeReply {
        let rest = whole.get(offset..).unwrap_or_default();
        DescribeReply {
            file_descriptor_set: rest[..rest.len().min(room)].to_vec(),
            length: u32::try_from(whole.len()).unwrap(),
            checksum: crc32fast::hash(whole),
            ..Default::default()
        }
    }

    fn whole(length: usize) -> Vec<u8> {
        (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    fn fetch(whole: &[u8], first: usize, room: usize) -> Result<Vec<u8>, Trouble> {
        let mut parts = Parts::begin(&part(whole, 0, first))?;
        while let Some(offset) = parts.next() {
            parts.take(&part(whole, offset as usize, room))?;
        }
        parts.finish()
    }

    #[test]
    fn parts_make_the_whole() {
        for length in [0, 1, 999, 1000, 1001, 2000, 5555, LONGEST] {
            let whole = whole(length);
            assert_eq!(fetch(&whole, 1000, 1100).as_ref(), Ok(&whole), "{length}");
        }
    }

    #[test]
    fn a_server_that_knows_no_parts_says_everything_at_once() {
        let first = DescribeReply { file_descriptor_set: whole(900), ..Default::default() };
        let mut parts = Parts::begin(&first).unwrap();
        assert_eq!(parts.next(), None);
        assert_eq!(parts.finish(), Ok(whole(900)));
    }

    #[test]
    fn a_description_past_the_limit_is_refused_before_it_is_fetched() {
        let first = DescribeReply { length: u32::MAX, ..part(&whole(2000), 0, 1000) };
        let Err(Trouble::Wrong(why)) = Parts::begin(&first) else { panic!() };
        assert!(why.contains("4294967295") && why.contains("1048576"), "{why}");
    }

    #[test]
    fn parts_that_lead_nowhere_are_refused() {
        let whole = whole(5000);
        assert!(matches!(fetch(&whole, 0, 1000), Err(Trouble::Wrong(_))), "no beginning");
        assert!(matches!(fetch(&whole, 1, 1), Err(Trouble::Wrong(_))), "by single bytes");
        assert!(matches!(fetch(&whole, 1000, 999), Err(Trouble::Wrong(_))), "shorter and shorter");
        assert!(matches!(fetch(&whole, 1000, 0), Err(Trouble::Wrong(_))), "nothing follows");
        let long = DescribeReply { length: 10, ..part(&whole, 0, 1000) };
        assert!(matches!(Parts::begin(&long), Err(Trouble::Wrong(_))), "more than all");
    }

    #[test]
    fn another_description_in_the_middle_is_noticed() {
        let whole = whole(5000);
        let mut other = whole.clone();
        other[4000] ^= 1;
        for changed in [part(&other, 1000, 1000), part(&whole[..4999], 1000, 1000)] {
            let mut parts = Parts::begin(&part(&whole, 0, 1000)).unwrap();
            assert_eq!(parts.take(&changed), Err(Trouble::Changed));
        }
        let mut parts = Parts::begin(&part(&whole, 0, 1000)).unwrap();
        while let Some(offset) = parts.next() {
            let file_descriptor_set = part(&other, offset as usize, 1000).file_descriptor_set;
            let mixed = DescribeReply { file_descriptor_set, ..part(&whole, 0, 0) };
            parts.take(&mixed).unwrap();
        }
        assert_eq!(parts.finish(), Err(Trouble::Changed), "the checksum tells");
    }
}

//! What is added: operands of calls, and the messages that carry them.

/// Two numbers.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Operands {
    #[prost(int64, tag = "1")]
    pub(crate) a: i64,
    #[prost(int64, tag = "2")]
    pub(crate) b: i64,
}

/// A number.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Number {
    #[prost(int64, tag = "1")]
    pub(crate) value: i64,
}

/// Of seven bytes on the wire, so that a request of this project takes 64: as much as a datagram
/// of the raw echoes.
const CONSTANT: Operands = Operands { a: 0x1234_5678_9abc, b: 0xfedc_ba98_7654 };

/// Bits of a random operand, at most; likewise, so that no request is longer than 64 bytes.
const RANDOM_BITS: u64 = 48;

/// Operands, call after call: always the same ones, or of every length from one byte to seven,
/// each as likely, drawn by a small generator (xorshift64*) from the same seed each time.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    state: Option<u64>,
}

impl Source {
    pub(crate) fn new(random: bool) -> Self {
        Self { state: random.then_some(0x9e37_79b9_7f4a_7c15) }
    }

    /// The operands of the next call.
    pub(crate) fn next(&mut self) -> Operands {
        let Some(state) = &mut self.state else { return CONSTANT };
        Operands { a: number(state), b: number(state) }
    }
}

impl Operands {
    /// What a server is to answer.
    pub(crate) fn sum(self) -> i64 {
        self.a + self.b
    }
}

fn number(state: &mut u64) -> i64 {
    let bits = 1 + random(state) % RANDOM_BITS;
    (random(state) >> (64 - bits)) as i64
}

/// The next number of xorshift64* (Vigna, 2016).
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

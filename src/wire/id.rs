//! The names of things: sessions, calls, epochs, methods. A type of its own for every role.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }
    };
}

id! {
    /// A session, minted by the server; its first byte is the shard that owns it.
    SessionId
}

impl SessionId {
    /// The server thread that owns this session.
    pub const fn shard(self) -> u8 {
        self.0.to_be_bytes()[0]
    }
}

id! {
    /// A call within its session. Ids rise and are never used twice.
    CallId
}

impl CallId {
    /// The slot that this id names in a session with `window` slots.
    pub const fn slot(self, window: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a u32")]
        match window {
            0 => 0,
            // The usual case, without a division.
            w if w.is_power_of_two() => (self.0 & (w as u64 - 1)) as u32,
            w => (self.0 % w as u64) as u32,
        }
    }
}

id! {
    /// One life of a server process.
    Epoch
}

id! {
    /// A method, by the hash of its full name.
    MethodId
}

impl MethodId {
    /// The id of the method called `full_name` (`package.Service/Method`, or `Service/Method`
    /// where there is no package): FNV-1a with 64 bits over the name's UTF-8 bytes.
    ///
    /// ```
    /// use udp_rpc::wire::MethodId;
    /// assert_eq!(MethodId::of("").0, 0xcbf2_9ce4_8422_2325);
    /// assert_eq!(MethodId::of("a").0, 0xaf63_dc4c_8601_ec8c);
    /// ```
    pub const fn of(full_name: &str) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut rest = full_name.as_bytes();
        while let [byte, tail @ ..] = rest {
            hash ^= *byte as u64;
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
            rest = tail;
        }
        Self(hash)
    }
}

//! Any bytes, read as a datagram of either direction.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| udp_rpc::sim::fuzz::decoder(data));

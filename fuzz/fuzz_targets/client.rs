//! Any bytes, read as a script of calls, answers and time steps for a client.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| udp_rpc::sim::fuzz::client(data));

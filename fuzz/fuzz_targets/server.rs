//! Any bytes, read as a script of datagrams and time steps for a server.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| udp_rpc::sim::fuzz::server(data));

//! Generates messages, server traits and clients from the `.proto` file.

fn main() -> Result<(), udp_rpc_build::Error> {
    udp_rpc_build::compile("proto/shop.proto")
}

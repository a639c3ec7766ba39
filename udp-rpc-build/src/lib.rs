//! Turns `.proto` files into messages, server traits and typed clients for `udp-rpc`.

//! The product from outside: `countersign dev` is started as a process, and spoken to over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test says what is wrong by panicking"
)]

mod abuse;
mod admin;
mod administered;
mod binaries;
mod command;
mod corpus;
mod documented;
mod engines;
mod events;
mod faults;
mod fuzzed;
mod gateway;
mod harness;
mod marked;
mod matrix;
mod office;
mod proxy;
mod remote;
mod requirements;
mod rotation;
mod runtime;
mod scale;
mod seed;
mod standards;
mod store;
mod template;
mod trips;

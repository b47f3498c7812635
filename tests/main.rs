//! The product from outside: `countersign dev` is started as a process, and spoken to over HTTP.

mod corpus;
mod events;
mod gateway;
mod harness;
mod matrix;
mod requirements;
mod scale;

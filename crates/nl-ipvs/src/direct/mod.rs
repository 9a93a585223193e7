//! A fast path for the messages that come by the thousand: conversion between bytes and
//! [types](crate::types) without an allocated list of attributes in between.
//!
//! [`wire`](crate::wire) has every message; tests make sure that both agree on bytes and values.

#[cfg(test)]
#[allow(dead_code, reason = "the tests of the codec use the rest of it")]
#[path = "../../tests/codec/arbitrary.rs"]
mod arbitrary;
mod read;
mod write;

pub(crate) use write::CommandRequest;

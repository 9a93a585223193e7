//! `vipd run`: Marathon's word into the kernel, for as long as the process lives.

pub mod view;

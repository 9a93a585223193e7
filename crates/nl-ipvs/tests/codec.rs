//! The codec, on bytes that a kernel sent or accepted and on arbitrary ones.

mod codec {
    mod arbitrary;
    mod captures;
    mod fixtures;
    mod hex;
    mod other_crates;
    mod properties;
}

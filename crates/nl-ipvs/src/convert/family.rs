//! Address families as the kernel numbers them.

use crate::{EntryError, Family};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

pub(crate) fn family_number(family: Family) -> u16 {
    match family {
        Family::Inet => AF_INET,
        Family::Inet6 => AF_INET6,
    }
}

pub(crate) fn family_of_number(number: u16, attribute: &'static str) -> Result<Family, EntryError> {
    match number {
        AF_INET => Ok(Family::Inet),
        AF_INET6 => Ok(Family::Inet6),
        other => Err(EntryError::Unknown { attribute, value: other.into() }),
    }
}

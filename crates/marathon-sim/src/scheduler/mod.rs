//! The scheduler: changes the store as Marathon does, and leaves the events of each change.
//!
//! The API changes definitions ([`Store::change`]), the reconciler asks what is to be started or
//! ended ([`Store::reconcile`]), and the processes report back ([`Store::task_is`],
//! [`Store::checked`]). Those are the only ways state changes, and each leaves its events in the
//! store ([`Store::take_events`]).
//!
//! [`Store::change`]: crate::store::Store::change
//! [`Store::reconcile`]: crate::store::Store::reconcile
//! [`Store::task_is`]: crate::store::Store::task_is
//! [`Store::checked`]: crate::store::Store::checked
//! [`Store::take_events`]: crate::store::Store::take_events

mod announce;
mod change;
mod checks;
mod lifecycle;
mod place;
mod plan;
mod reconcile;

pub(crate) use change::{Change, ChangeError, Deployed};

//! The scheduler: changes the store as Marathon does, and leaves the events of each change.
//!
//! The API changes definitions ([`Store::apply_changes`]), the reconciler asks what is to be started or
//! ended ([`Store::reconcile`]), and the processes report back ([`Store::set_task_state`],
//! [`Store::record_check`]). Those are the only ways state changes, and each leaves its events in the
//! store ([`Store::take_events`]).
//!
//! [`Store::apply_changes`]: crate::store::Store::apply_changes
//! [`Store::reconcile`]: crate::store::Store::reconcile
//! [`Store::set_task_state`]: crate::store::Store::set_task_state
//! [`Store::record_check`]: crate::store::Store::record_check
//! [`Store::take_events`]: crate::store::Store::take_events

mod announce;
mod change;
mod checks;
mod lifecycle;
mod place;
mod plan;
mod reconcile;

pub(crate) use change::{Change, ChangeError, Deployed};

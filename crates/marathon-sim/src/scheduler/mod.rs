//! The scheduler: changes the store as Marathon does, and leaves the events of each change.
//!
//! The API changes definitions ([`Store::apply_changes`]), the reconciler asks for tasks to start
//! and end ([`Store::reconcile`]), and the processes report back ([`Store::set_task_state`],
//! [`Store::record_check`]). Only these change the store, and each leaves its events in it
//! ([`Store::take_events`]).
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

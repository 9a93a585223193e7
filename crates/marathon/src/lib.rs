//! marathon
